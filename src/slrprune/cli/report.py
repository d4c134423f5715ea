"""`slrprune report`: one page about one run, or about several side by side."""

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from slrprune.cli.consoles import out
from slrprune.cli.session import print_json


def report(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs, or of records that demo or compare wrote.")],
    file: Annotated[
        Path | None, typer.Option("--out", help="File to write. [report.html, in RUN if there is only one]")
    ] = None,
    opens: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write one HTML file that shows what pruning did.

    Accuracy, size, speed, convergence, every layer. The file needs no network. Several runs are set side by side.
    """
    from slrprune.report import write_report

    path = write_report(runs, file)
    if as_json:
        print_json({"path": str(path), "bytes": path.stat().st_size, "runs": [str(run) for run in runs]})
    else:
        out().print(
            f"Report: {path} ({path.stat().st_size / 1e6:.1f} MB)", markup=False, highlight=False, soft_wrap=True
        )
    if opens and not webbrowser.open(path.resolve().as_uri()):
        out().print("No browser was found; open the file by hand.", highlight=False)
