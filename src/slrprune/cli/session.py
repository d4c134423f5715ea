"""What `demo` and `compare` have in common: run a plan, show what came out."""

import json
import shlex
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from slrprune.cli.consoles import err, out

if TYPE_CHECKING:
    from collections.abc import Callable

    from slrprune.compare import Observer, Plan, RunRecord
    from slrprune.tasks import Task


def run_and_show(task: "Task", plan: "Plan", folder: Path, *, workers: int, as_json: bool, tells_runs: bool) -> None:
    """Runs the plan with a progress bar on stderr, and prints tables and charts, or JSON, on stdout."""
    from slrprune.compare import compare

    def run(observer: "Observer", command: str) -> "tuple[RunRecord, ...]":
        return compare(task, plan, folder, workers=workers, observer=observer, command=command)

    follow_and_show(run, folder, as_json=as_json, tells_runs=tells_runs)


def follow_and_show(
    run: "Callable[[Observer, str], tuple[RunRecord, ...]]", folder: Path, *, as_json: bool, tells_runs: bool
) -> None:
    """Lets `run` work with a progress bar on stderr, and prints what its records show, as `run_and_show`.

    Args:
        run: gets an observer and the command line, for the records, and returns them.
        folder: where the records lie.
        as_json: print JSON instead of tables and charts.
        tells_runs: whether every run gets a line on a terminal, too.
    """
    from slrprune.cli.progress import ProgressBar

    started = time.monotonic()
    try:
        with ProgressBar(err(), tells_runs=tells_runs) as bar:
            records = run(bar, shlex.join(["slrprune", *sys.argv[1:]]))
    except KeyboardInterrupt:
        err().print(
            f"Interrupted. What was finished is in {folder}; the same command goes on from there.", soft_wrap=True
        )
        raise typer.Exit(1) from None
    show(records, folder, as_json=as_json)
    if not as_json:
        out().print(f"{len(records)} runs, {time.monotonic() - started:.0f} s. Records: {folder}", highlight=False)


def show(records: "tuple[RunRecord, ...]", folder: Path, *, as_json: bool) -> None:
    """Prints what records show, as tables and charts or as JSON."""
    from slrprune.cli.render import show_blocks
    from slrprune.compare import blocks

    found = blocks(records)
    if as_json:
        content = {
            "folder": str(folder),
            "tables": [asdict(block) for block in found],
            "records": [json.loads(record.to_json()) for record in records],
        }
        typer.echo(json.dumps(content, indent=1, allow_nan=False))
    else:
        show_blocks(out(), found)
