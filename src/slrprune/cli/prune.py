"""`slrprune prune`: one run, from its configuration to its report."""

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slrprune.cli.completion import complete_task
from slrprune.cli.consoles import err, out
from slrprune.cli.session import print_json
from slrprune.cli.task_options import OPTION_HELP, STRICT_HELP, read_options, strict_options
from slrprune.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from slrprune.config import RunConfig
    from slrprune.train import RunResult

_SET_HELP = "A field as key=value, such as lr=0.02 or set=filters; may be repeated."
_TASK_HELP = "A task (see: slrprune tasks), module:function or file.py:function that returns one."


def prune(
    task: Annotated[str | None, typer.Argument(help=_TASK_HELP, autocompletion=complete_task)] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file; flags and --set go before it.")] = None,
    override: Annotated[list[str] | None, typer.Option("--set", help=_SET_HELP)] = None,
    resume: Annotated[Path | None, typer.Option(help="Folder of a run that was stopped; goes on with it.")] = None,
    method: Annotated[str | None, typer.Option(help="Method by name. [slr]")] = None,
    sparsity: Annotated[float | None, typer.Option(help="Fraction of zeros, in [0, 1). [0.9]")] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs of pruning; the task's own by default.")] = None,
    retrain: Annotated[int | None, typer.Option(help="Epochs of training after the cut, with the zeros fixed.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the run. [0]")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the task's data, where it needs one.")] = None,
    option: Annotated[list[str] | None, typer.Option(help=OPTION_HELP)] = None,
    strict: Annotated[bool, typer.Option("--strict", help=STRICT_HELP)] = False,
    folder: Annotated[Path | None, typer.Option("--out", help="Where the run is written. [runs/<task>-<time>]")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Prune a model while it trains; a folder keeps the whole run.

    Stopped by Ctrl-C or killed, --resume goes on with it. docs/run.md lists the fields of the configuration.
    """
    flags = {
        "method": method,
        "sparsity": sparsity,
        "epochs": epochs,
        "retrain": retrain,
        "seed": seed,
        "data": None if data is None else str(data),
    }
    named_flags = {f"--{name}": value for name, value in flags.items()} | {"--option": option or None}
    named_flags["--strict"] = strict
    values = {"TASK": task, "--config": config, "--out": folder, **named_flags}
    given = [name for name, value in values.items() if value is not None and value is not False]  # 0 is a value
    if resume is not None and (given or override):
        named = ", ".join([*given, *(["--set"] if override else [])])
        raise UsageError("prune", f"--resume goes on as the run began, and {named} would change it", "Leave it out.")
    overrides = [*(override or []), *_as_overrides(option or [])]
    found = _followed(resume, folder, lambda: _configured(task, config, overrides, flags, strict))
    if _speaks():
        _show(found, as_json=as_json)
    if not found.is_ok:
        raise typer.Exit(1)


def _speaks() -> bool:
    """Under torchrun every process comes here, and one of them speaks."""
    return os.environ.get("RANK", "0") == "0"


def _as_overrides(options: "Sequence[str]") -> list[str]:
    """--option name=value as --set task_options.name=value; the value is read as every verb with --option reads it."""
    if not options:
        return []
    import yaml

    found = read_options(options, None, "prune")
    texts = {name: str(value) if isinstance(value, Path) else value for name, value in found.items()}
    return [f"task_options.{name}={yaml.safe_dump(value)}" for name, value in texts.items()]


def _configured(
    task: str | None, path: Path | None, overrides: list[str], flags: dict[str, Any], strict: bool
) -> "RunConfig":
    from slrprune.config import load_config, make_config

    if path is None and task is None:
        raise typer.BadParameter("nothing to prune was named: give a task, --config FILE or --resume RUN")
    if path is None:
        config = make_config(overrides, task=task, **flags)
    else:
        config = load_config(path, overrides, task=task, **flags)
    if not strict:
        return config
    return config.model_copy(update={"task_options": strict_options(config.task, config.task_options, "prune")})


def _followed(folder_of_run: Path | None, folder: Path | None, configured: "Callable[[], RunConfig]") -> "RunResult":
    """The run with a progress bar; stopped by a signal, it says how to go on."""
    from slrprune.cli.live_bar import live_bar
    from slrprune.cli.run_progress import RunProgress

    command = shlex.join(["slrprune", *sys.argv[1:]])
    config = configured() if folder_of_run is None else None  # its mistakes are told first
    from slrprune.train import Interrupted, run
    from slrprune.train import resume as go_on

    try:
        console = err()
        console.quiet = not _speaks()
        with live_bar(console) as bar:
            observer = RunProgress(bar)
            if config is not None:
                return run(config, folder, observer=observer, command=command)
            assert folder_of_run is not None
            return go_on(folder_of_run, observer=observer, command=command)
    except Interrupted as stop:
        err().print(f"Stopped, and saved. Go on with: slrprune prune --resume {stop.folder}", soft_wrap=True)
        raise typer.Exit(stop.exit_code) from None


def _show(result: "RunResult", *, as_json: bool) -> None:
    summary = result.summary
    if as_json:
        print_json({"folder": str(result.folder), **summary})
        return
    from slrprune.cli.run_figures import figures

    for line in figures(summary, result.folder):
        out().print(line, markup=False, highlight=False, soft_wrap=True)
