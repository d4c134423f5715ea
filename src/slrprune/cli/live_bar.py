"""A bar on the console while something runs, and lines above it."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class LiveBar:
    """One bar with a text; without a terminal no bar is drawn, and the lines are all there is.

    Args:
        console: where it is drawn.
        progress: draws it.
    """

    def __init__(self, console: Console, progress: Progress) -> None:
        self.has_terminal = console.is_terminal
        self._console = console
        self._progress = progress
        self._task = progress.add_task("preparing", total=None)

    def restart(self, total: int, made: int = 0, text: str | None = None) -> None:
        """Goes back to `made` of `total`; without `text` the present one stays."""
        self._progress.reset(self._task, total=total, completed=made, description=text)

    def move_to(self, made: int) -> None:
        """So much of the total is done."""
        self._progress.update(self._task, completed=made)

    def advance(self, text: str) -> None:
        """One more of the total is done."""
        self._progress.update(self._task, advance=1, description=text)

    def describe(self, text: str) -> None:
        """Writes the text beside the bar."""
        self._progress.update(self._task, description=text)

    def say(self, line: str) -> None:
        """Writes a line above the bar, which stays."""
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def live_bar(console: Console) -> Iterator[LiveBar]:
    """A bar as long as the context lasts."""
    columns = (BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    text = TextColumn("{task.description}", markup=False)
    with Progress(text, *columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield LiveBar(console, progress)
