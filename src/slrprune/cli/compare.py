"""`slrprune compare`: every method at the same total budget."""

import ast
import importlib
import inspect
import os
import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slrprune.cli.session import run_and_show
from slrprune.errors import ArgumentError, SlrpruneError, UsageError, closest

if TYPE_CHECKING:
    from slrprune.tasks import Task

_METHODS = "slr,dpf,gradual_magnitude,admm_ramp,classic_slr_ramp,one_shot,dense"


class _Curve(str, Enum):
    VAL = "val"
    TEST = "test"


def compare(
    task: Annotated[str, typer.Argument(help="What to prune; see: slrprune tasks")],
    methods: Annotated[str, typer.Option(help="Names with commas between them.")] = _METHODS,
    sparsity: Annotated[list[float] | None, typer.Option(help="Fraction of zeros; repeat for several. [0.9]")] = None,
    epochs: Annotated[int | None, typer.Option(help="Length of every run; the task's own by default.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds.")] = 3,
    folder: Annotated[Path | None, typer.Option("--out", help="Where records go. [runs/<task>]")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one per core, at most 2, by default.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the task's data, where it needs one.")] = None,
    option: Annotated[list[str] | None, typer.Option(help="Further settings of the task, as name=value.")] = None,
    curve: Annotated[_Curve | None, typer.Option(help="Split for the curves. [val, none without one]")] = None,
    rivals: Annotated[list[str] | None, typer.Option(help="Module that registers rivals; repeat for several.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Give every method the same steps from the same dense start, and compare them after the hard cut.

    Killed and called again, it goes on where it stopped.
    """
    from slrprune.compare import Plan, Target, find

    for module in rivals or []:
        _import(module)
    arms = find([name.strip() for name in methods.split(",") if name.strip()])
    built = _task(task, _options(option or [], data))
    plan = Plan(
        arms=arms,
        targets=tuple(Target.at(value) for value in sparsity or [0.9]),
        epochs=built.pruning_recipe.epochs if epochs is None else epochs,
        seeds=tuple(range(seeds)),
        curve_split=curve.value if curve else None,
    )
    folder = folder or Path("runs") / task
    run_and_show(built, plan, folder, workers=workers or min(2, os.cpu_count() or 1), as_json=as_json, tells_runs=True)


def _task(name: str, options: dict[str, Any]) -> "Task":
    """The task with its options, which are checked against its class by name."""
    from slrprune.tasks import get, task_class

    known = list(inspect.signature(task_class(name)).parameters)
    for option in options:
        if option not in known:
            problem = f"the task {name!r} has no setting {option!r}"
            raise UsageError("compare", problem, f"The closest of its settings is {closest(option, known, 1)[0]!r}.")
    return get(name, **options)


def _options(entries: list[str], data: Path | None) -> dict[str, Any]:
    """name=value, the value read as Python where it can be; paths stay paths, so that no record depends on them."""
    found: dict[str, Any] = {} if data is None else {"data": data}
    for entry in entries:
        name, equals, value = entry.partition("=")
        if not equals:
            raise ArgumentError("compare", "option", entry, "must have the form name=value")
        try:
            found[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            found[name] = Path(value) if Path(value).exists() else value
    return found


def _import(module: str) -> None:
    """Imports a module, from the present folder, too."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        importlib.import_module(module)
    except SlrpruneError:
        raise
    except ImportError as error:
        raise UsageError("compare", f"the module {module!r} cannot be imported ({error})") from error
