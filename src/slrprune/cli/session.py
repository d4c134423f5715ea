"""What `demo` and `compare` have in common: run a plan, show what came out."""

import json
import math
import shlex
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from slrprune.cli.consoles import err, out

if TYPE_CHECKING:
    from slrprune.compare import Against, Observer, Plan, RunRecord
    from slrprune.compare.keep import Keep
    from slrprune.tasks import Task

Ending = Callable[[], Mapping[str, Any]]
"""What a verb adds at the end."""


def run_and_show(
    task: "Task",
    plan: "Plan",
    folder: Path,
    *,
    workers: int,
    as_json: bool,
    keep: "Keep | None" = None,
    ending: "Ending | None" = None,
) -> None:
    """Runs the plan with a progress bar on stderr, and prints tables and charts, or JSON, on stdout.

    Args:
        task: what to prune.
        plan: the runs.
        folder: where the records go.
        workers: processes.
        as_json: print JSON instead of tables and charts.
        keep: which final models are kept.
        ending: called at last: returns what the JSON holds besides, or prints it.
    """
    from slrprune.compare import compare

    def run(observer: "Observer", command: str) -> "tuple[RunRecord, ...]":
        return compare(task, plan, folder, workers=workers, observer=observer, command=command, keep=keep)

    follow_and_show(run, folder, as_json=as_json, tells_runs=False, ending=ending)


def follow_and_show(
    run: "Callable[[Observer, str], tuple[RunRecord, ...]]",
    folder: Path,
    *,
    as_json: bool,
    tells_runs: bool,
    ending: "Ending | None" = None,
    against: "Against | None" = None,
) -> None:
    """Lets `run` work with a progress bar on stderr, and prints what its records show, as `run_and_show`.

    Args:
        run: gets an observer and the command line, for the records, and returns them.
        folder: where the records lie.
        as_json: print JSON instead of tables and charts.
        tells_runs: whether every run gets a line on a terminal, too.
        ending: as in `run_and_show`.
        against: as in `show`.
    """
    from slrprune.cli.live_bar import live_bar
    from slrprune.cli.progress import ComparisonProgress

    started = time.monotonic()
    try:
        with live_bar(err()) as bar:
            observer = ComparisonProgress(bar, tells_runs=tells_runs)
            records = run(observer, shlex.join(["slrprune", *sys.argv[1:]]))
    except KeyboardInterrupt:
        err().print(
            f"Interrupted. What was finished is in {folder}; the same command goes on from there.", soft_wrap=True
        )
        raise typer.Exit(1) from None
    more = ending() if ending and as_json else {}
    show(records, folder, as_json=as_json, more=more, against=against)
    if not as_json:
        out().print(f"{len(records)} runs, {time.monotonic() - started:.0f} s. Records: {folder}", highlight=False)
        if ending:
            ending()


def show(
    records: "tuple[RunRecord, ...]",
    folder: Path,
    *,
    as_json: bool,
    more: "Mapping[str, Any] | None" = None,
    against: "Against | None" = None,
) -> None:
    """Prints what records show, as tables and charts or as JSON.

    Args:
        records: of the runs.
        folder: where they lie.
        as_json: print JSON.
        more: for the JSON.
        against: with whom every arm is compared; None for the best of the others.
    """
    from slrprune.cli.render import show_blocks
    from slrprune.compare import Against, blocks

    found = blocks(records, against or Against())
    if as_json:
        content = {
            "folder": str(folder),
            "tables": [asdict(block) for block in found],
            "records": [json.loads(record.to_json()) for record in records],
        }
        print_json(content | dict(more or {}))
    else:
        show_blocks(out(), found)


def print_json(value: "Mapping[str, Any]") -> None:
    """Prints JSON on stdout; numbers that are not finite become null, and what JSON does not know becomes text."""
    typer.echo(json.dumps(_finite(value), indent=1, allow_nan=False, default=str))


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _finite(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
