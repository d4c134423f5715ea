"""`slrprune compare`: every method at the same total budget."""

import os
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slrprune.cli.completion import complete_task
from slrprune.cli.lists import names, numbers
from slrprune.cli.session import follow_and_show
from slrprune.cli.table import AGAINST_HELP, WITHOUT_HELP
from slrprune.cli.task_options import (
    DATA_HELP,
    OPTION_HELP,
    STRICT_HELP,
    TASK_HELP,
    read_options,
    strict_options,
)
from slrprune.cli.tuning import HowTuned
from slrprune.errors import ArgumentError, UsageError
from slrprune.user_code import import_module

if TYPE_CHECKING:
    from slrprune.compare import Arm, Observer, Plan, RunRecord
    from slrprune.compare.keep import Keep
    from slrprune.tasks import Task

_METHODS = ("slr", "dpf", "gradual_magnitude", "admm_ramp", "classic_slr_ramp", "one_shot", "dense")
_METHODS_HELP = f"Names; slr+distil has an extra. [{' '.join(_METHODS)}]"


class _Curve(str, Enum):
    VAL = "val"
    TEST = "test"


def compare(
    task: Annotated[str, typer.Argument(help=TASK_HELP, autocompletion=complete_task)],
    methods: Annotated[list[str] | None, typer.Option(help=_METHODS_HELP)] = None,
    sparsity: Annotated[list[str] | None, typer.Option(help="Fraction of zeros, or several. [0.9]")] = None,
    structure: Annotated[str, typer.Option("--set", help="Constraint set; an unknown name lists them.")] = "global",
    epochs: Annotated[int | None, typer.Option(help="Length of every run; the task's own by default.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds.")] = 3,
    folds: Annotated[int | None, typer.Option(min=2, help="Cross-validate over so many folds of the task.")] = None,
    tune_trials: Annotated[int | None, typer.Option("--tune", min=1, help="Settings tried for each method.")] = None,
    tune_epochs: Annotated[int | None, typer.Option(min=1, help="Length of a trial. [half of --epochs]")] = None,
    tuned: Annotated[Path | None, typer.Option(help="Settings that won an earlier --tune, in that folder.")] = None,
    distil: Annotated[bool, typer.Option("--distil", help="Distil from the dense net, in every method.")] = False,
    folder: Annotated[Path | None, typer.Option("--out", help="Where records go. [runs/<task>]")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one per core, at most 2, by default.")] = None,
    data: Annotated[Path | None, typer.Option(help=DATA_HELP)] = None,
    option: Annotated[list[str] | None, typer.Option(help=OPTION_HELP)] = None,
    strict: Annotated[bool, typer.Option("--strict", help=STRICT_HELP)] = False,
    curve: Annotated[_Curve | None, typer.Option(help="Split for the curves. [val, none without one]")] = None,
    keep_models: Annotated[bool, typer.Option("--keep-models", help="Keep them for: slrprune export")] = False,
    rivals: Annotated[list[str] | None, typer.Option(help="Module that registers rivals; repeat for several.")] = None,
    against: Annotated[str | None, typer.Option(help=AGAINST_HELP)] = None,
    without: Annotated[list[str] | None, typer.Option(help=WITHOUT_HELP)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Compare methods at the same budget, right after the hard cut.

    All begin with the same dense weights and get the same steps. Killed and called again, it goes on where it stopped.
    """
    from slrprune.compare import Against, Plan, targets

    how_tuned = HowTuned(tune_trials, tune_epochs, tuned, has_folds=folds is not None)
    for module in rivals or []:
        import_module(module, "compare")
    options = read_options(option or [], data, "compare")
    options = strict_options(task, options, "compare") if strict else options
    keep = _keep(task, options, folds) if keep_models else None
    tasks = _tasks(task, options, folds)
    plan = Plan(
        arms=_arms(names(methods or _METHODS), distil),
        targets=targets(structure, _levels(structure, sparsity), tasks[0].build_model()),
        epochs=tasks[0].pruning_recipe.epochs if epochs is None else epochs,
        seeds=tuple(range(seeds)),
        curve_split=curve.value if curve else None,
    )
    measured_by = Against(against, names(without or []))
    measured_by.check([arm.name for arm in plan.arms], "compare")
    plan = how_tuned.looked_up(tasks[0], plan)
    folder = folder or Path("runs") / tasks[0].name
    count = workers or min(2, os.cpu_count() or 1)

    def run(observer: "Observer", command: str) -> "tuple[RunRecord, ...]":
        chosen = how_tuned.tried(tasks[0], plan, folder, workers=count, observer=observer)
        return _run(tasks, chosen, folder, workers=count, observer=observer, command=command, keep=keep)

    follow_and_show(run, folder, as_json=as_json, tells_runs=True, against=measured_by)


def _arms(methods: Sequence[str], distil: bool) -> "tuple[Arm, ...]":
    from slrprune.compare import find

    return find([f"{name}+distil" for name in methods] if distil else methods)


def _tasks(name: str, options: dict[str, Any], folds: int | None) -> "list[Task]":
    """One task, or one for each fold."""
    from slrprune.tasks.options import build_task

    if folds is None:
        return [build_task(name, options, "compare")]
    if "fold" in options:
        raise ArgumentError("compare", "option", f"fold={options['fold']}", "must not be given with --folds")
    return [build_task(name, {**options, "fold": fold}, "compare") for fold in range(folds)]


def _keep(task: str, options: dict[str, Any], folds: int | None) -> "Keep":
    """All models, with what rebuilds them."""
    from slrprune.compare.keep import Keep

    if ":" in task:
        raise UsageError("compare", "--keep-models needs a built-in task, by whose name a model is built again")
    if folds is not None:
        raise UsageError("compare", "--keep-models and --folds exclude each other: the models are of several tasks")
    return Keep(options)


def _levels(structure: str, sparsity: list[str] | None) -> tuple[float, ...]:
    """The sparsities asked for; 0.9 without any, but only for the default set."""
    if sparsity:
        return numbers("compare", "sparsity", sparsity)
    return (0.9,) if structure == "global" else ()


def _run(tasks: "list[Task]", plan: "Plan", folder: Path, **options: Any) -> "tuple[RunRecord, ...]":
    from slrprune.compare import check, compare

    for task in tasks:
        check(task, plan, folder)
    return tuple(record for task in tasks for record in compare(task, plan, folder, **options))
