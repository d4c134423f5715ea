"""How far a comparison is."""

from slrprune.cli.live_bar import LiveBar
from slrprune.compare.record import RunRecord


class ComparisonProgress:
    """An observer with one bar over all epochs of all runs; without a terminal every run gets a line.

    Args:
        bar: where it is shown.
        tells_runs: whether every run gets a line in a terminal, too.
    """

    def __init__(self, bar: LiveBar, *, tells_runs: bool) -> None:
        self._bar = bar
        self._tells_runs = tells_runs or not bar.has_terminal
        self._finished = 0
        self._runs = 0

    def planned(self, epochs: int, runs: int, finished: int) -> None:
        """Sets the length of the bar; every comparison of a command begins at its left end."""
        self._runs, self._finished = runs, finished
        self._bar.restart(epochs)
        if finished:
            self._bar.say(f"{finished} of {runs} runs were finished before")

    def epoch_ended(self, label: str, number: int, accuracy: float | None) -> None:
        """Moves the bar on."""
        reached = "" if accuracy is None else f", {accuracy:.1f}% after the cut"
        self._bar.advance(f"{label}, epoch {number}{reached}")

    def run_ended(self, record: RunRecord) -> None:
        """Writes a line."""
        self._finished += 1
        if self._tells_runs or not record.is_ok:
            ending = _ending(record)
            run = f"{record.method} {record.target} seed {record.seed}"
            self._bar.say(f"[{self._finished}/{self._runs}] {run}: {ending} ({record.wall_time_s:.0f} s)")


def _ending(record: RunRecord) -> str:
    """What came out: test accuracy, for a trial validation accuracy, or why there is none."""
    if not record.is_ok:
        return record.reason
    if record.test_accuracy_after_cut is not None:
        return f"{record.test_accuracy_after_cut:.2f}% after the cut"
    if record.val_accuracy_after_cut is not None:
        return f"{record.val_accuracy_after_cut:.2f}% after the cut on the validation split"
    return record.reason
