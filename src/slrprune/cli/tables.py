"""Tables on stdout: with a line under the header in a terminal, in bare columns in a pipe, nowhere cut off."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def new_table(console: "Console", header: Sequence[str], title: str | None = None, texts: int = 1) -> "Table":
    """An empty table in the style that the console can show.

    Args:
        console: where it will be printed.
        header: of the columns.
        title: above it.
        texts: how many columns, from the left, hold text; the others hold numbers. Text that has no room is folded.
    """
    from rich import box
    from rich.table import Table

    style = None  # a pipe gets columns and nothing else
    if console.is_terminal:
        style = box.ASCII if console.options.ascii_only else box.SIMPLE_HEAD
    table = Table(
        title=title,
        title_justify="left",
        box=style,
        show_edge=False,
        pad_edge=False,
        collapse_padding=console.is_terminal,
    )
    for position, name in enumerate(header):
        is_text = position < texts
        table.add_column(name, justify="left" if is_text else "right", overflow="fold", no_wrap=False)
    return table


def show_table(
    console: "Console", header: Sequence[str], rows: Iterable[Sequence[str]], title: str | None = None, texts: int = 1
) -> None:
    """Prints a table of plain words; arguments as in `new_table`."""
    from rich.text import Text

    table = new_table(console, header, title, texts)
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)
