"""`slrprune table`: the tables of runs that have been made, in the terminal or into a document."""

from pathlib import Path
from typing import Annotated

import typer

from slrprune.cli.lists import names
from slrprune.cli.session import show
from slrprune.errors import DataError, UsageError

AGAINST_HELP = "Show the difference to this method. [to the best of the others]"
WITHOUT_HELP = "Leave a method out before the best of the others is chosen; repeat for several."


def table(
    folder: Annotated[Path, typer.Argument(help="Folder with the records of a comparison.")],
    markdown: Annotated[bool, typer.Option(help="Print Markdown.")] = False,
    into: Annotated[Path | None, typer.Option(help="Write Markdown into this document, at --marker.")] = None,
    marker: Annotated[str | None, typer.Option(help="Name in <!-- name:begin --> and <!-- name:end -->.")] = None,
    against: Annotated[str | None, typer.Option(help=AGAINST_HELP)] = None,
    without: Annotated[list[str] | None, typer.Option(help=WITHOUT_HELP)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the tables of runs that have been made."""
    from slrprune.atomic import write_atomically
    from slrprune.compare import Against, blocks, insert, load_records, to_markdown

    if (into is None) != (marker is None):
        raise UsageError("table", "--into and --marker need each other", "Give both, or neither.")
    records = load_records(folder)
    if not records:
        raise DataError(str(folder), "holds no records", "Name the folder that demo or compare wrote to.")
    measured_by = Against(against, names(without or []))
    if into is not None and marker is not None:
        found = to_markdown(blocks(records, measured_by))
        text = insert(into.read_text(encoding="utf-8"), marker, found, str(into))
        write_atomically(into, lambda partial: partial.write_text(text, encoding="utf-8"))
    elif markdown:
        typer.echo(to_markdown(blocks(records, measured_by)))
    else:
        show(records, folder, as_json=as_json, against=measured_by)
