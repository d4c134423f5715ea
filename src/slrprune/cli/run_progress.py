"""How far a run is, and how accurate it would be if it were cut now."""

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

_PHASES = {"dense": "dense training", "prune": "pruning", "retrain": "retraining"}


class RunProgress:
    """An observer with one bar per phase, used as a context manager.

    Args:
        console: where it is drawn; without a terminal no bar is drawn, and every epoch gets a line.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._phase = ""
        columns = (BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        text = TextColumn("{task.description}", markup=False)
        self._progress = Progress(text, *columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._progress.add_task("preparing", total=None)

    def __enter__(self) -> "RunProgress":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def phase_began(self, phase: str, steps: int, made: int) -> None:
        """A bar from its left end."""
        self._phase = _PHASES[phase]
        self._progress.reset(self._task, total=steps, completed=made, description=self._phase)

    def step_made(self, made: int) -> None:
        """Moves the bar on."""
        self._progress.update(self._task, completed=made)

    def epoch_ended(self, number: int, epochs: int, loss: float, accuracy: float | None) -> None:
        """Says how good the network would be after a cut."""
        reached = "" if accuracy is None else f", {accuracy:.1f}% after the cut"
        line = f"{self._phase}, epoch {number}/{epochs}: loss {loss:.3f}{reached}"
        self._progress.update(self._task, description=line)
        if not self._console.is_terminal:
            self._say(line)

    def noted(self, event: str, text: str) -> None:
        """Events as lines; the checkpoints, which come every epoch, are left out."""
        if event not in ("checkpoint", "interrupted"):
            self._say(text)

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)
