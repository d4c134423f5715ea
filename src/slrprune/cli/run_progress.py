"""How far a run is, and how accurate it would be if it were cut now."""

from slrprune.cli.live_bar import LiveBar

_PHASES = {"dense": "dense training", "prune": "pruning", "retrain": "retraining"}


class RunProgress:
    """An observer with one bar per phase; without a terminal every epoch gets a line.

    Args:
        bar: where it is shown.
    """

    def __init__(self, bar: LiveBar) -> None:
        self._bar = bar
        self._phase = ""

    def phase_began(self, phase: str, steps: int, made: int) -> None:
        """A bar from its left end."""
        self._phase = _PHASES[phase]
        self._bar.restart(steps, made, self._phase)

    def step_made(self, made: int) -> None:
        """Moves the bar on."""
        self._bar.move_to(made)

    def epoch_ended(self, number: int, epochs: int, loss: float, accuracy: float | None) -> None:
        """Says how good the network would be after a cut."""
        reached = "" if accuracy is None else f", {accuracy:.1f}% after the cut"
        line = f"{self._phase}, epoch {number}/{epochs}: loss {loss:.3f}{reached}"
        self._bar.describe(line)
        if not self._bar.has_terminal:
            self._bar.say(line)

    def noted(self, event: str, text: str) -> None:
        """Events as lines; the checkpoints, which come every epoch, are left out."""
        if event not in ("checkpoint", "interrupted"):
            self._bar.say(text)
