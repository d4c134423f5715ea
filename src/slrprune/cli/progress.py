"""How far a comparison is."""

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from slrprune.compare.record import RunRecord


class ProgressBar:
    """An observer with one bar over all epochs of all runs; used as a context manager.

    Args:
        console: where it is drawn; without a terminal no bar is drawn, and every run gets a line.
        tells_runs: whether every run gets a line in a terminal, too.
    """

    def __init__(self, console: Console, *, tells_runs: bool) -> None:
        self._console = console
        self._tells_runs = tells_runs or not console.is_terminal
        self._finished = 0
        self._runs = 0
        columns = (BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        text = TextColumn("{task.description}", markup=False)
        self._progress = Progress(text, *columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._progress.add_task("preparing", total=None)

    def __enter__(self) -> "ProgressBar":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def planned(self, epochs: int, runs: int, finished: int) -> None:
        """Sets the length of the bar; every comparison of a command begins at its left end."""
        self._runs, self._finished = runs, finished
        self._progress.reset(self._task, total=epochs)
        if finished:
            self._say(f"{finished} of {runs} runs were finished before")

    def epoch_ended(self, label: str, number: int, accuracy: float | None) -> None:
        """Moves the bar on."""
        reached = "" if accuracy is None else f", {accuracy:.1f}% after the cut"
        self._progress.update(self._task, advance=1, description=f"{label}, epoch {number}{reached}")

    def run_ended(self, record: RunRecord) -> None:
        """Writes a line."""
        self._finished += 1
        if self._tells_runs or not record.is_ok:
            ending = _ending(record)
            run = f"{record.method} {record.target} seed {record.seed}"
            self._say(f"[{self._finished}/{self._runs}] {run}: {ending} ({record.wall_time_s:.0f} s)")

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def _ending(record: RunRecord) -> str:
    """What came out: test accuracy, for a trial validation accuracy, or why the run diverged."""
    if record.test_accuracy_after_cut is not None:
        return f"{record.test_accuracy_after_cut:.2f}% after the cut"
    if record.val_accuracy_after_cut is not None:
        return f"{record.val_accuracy_after_cut:.2f}% after the cut on the validation split"
    return record.reason
