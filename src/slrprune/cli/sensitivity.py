"""`slrprune sensitivity`: which layers can bear a cut."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slrprune.cli.completion import complete_task
from slrprune.cli.consoles import err, out
from slrprune.cli.dense_model import WEIGHTS_HELP, dense_model
from slrprune.cli.lists import numbers
from slrprune.cli.session import print_json
from slrprune.cli.tables import show_table
from slrprune.cli.task_options import DATA_HELP, OPTION_HELP, TASK_HELP, resolve_task
from slrprune.errors import ArgumentError

if TYPE_CHECKING:
    from torch import nn

    from slrprune.analysis import LayerCurve, Sensitivity
    from slrprune.rules import Rules
    from slrprune.tasks import Split, Task

_SET = "unstructured"
_SET_HELP = "Which zeros: unstructured, filters, columns, blocks-4x1, 2:4, or kernel-patterns."
_LEVELS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98)
_LEVELS_HELP = f"Fractions of zeros, in [0, 1). [{' '.join(map(str, _LEVELS))}]"


def sensitivity(
    task: Annotated[str, typer.Argument(help=TASK_HELP, autocompletion=complete_task)],
    sparsity: Annotated[list[str] | None, typer.Option(help=_LEVELS_HELP)] = None,
    structure: Annotated[str, typer.Option("--set", help=_SET_HELP)] = _SET,
    drop: Annotated[float, typer.Option(min=0, help="Points that a layer may cost, for the last column.")] = 1.0,
    weights: Annotated[Path | None, typer.Option(help=WEIGHTS_HELP)] = None,
    data: Annotated[Path | None, typer.Option(help=DATA_HELP)] = None,
    option: Annotated[list[str] | None, typer.Option(help=OPTION_HELP)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Cut one layer at a time, and show what it costs.

    Each layer is cut alone, by magnitude, at several sparsities, and evaluated without any training: a hint which
    layers should stay dense or get a milder rule. Training while pruning recovers most of what is lost here.
    """
    from slrprune.analysis import sensitivity as measure
    from slrprune.tasks.base import has_split

    subject = resolve_task(task, option or [], data, "sensitivity")
    levels = numbers("sensitivity", "sparsity", sparsity or [])
    rules = _rules(structure, sorted(levels), subject)
    model = dense_model(subject, weights, Path("runs") / subject.name)
    split: Split = "val" if has_split(subject, "val") else "test"
    found = measure(subject, model, rules, split=split, on_layer=_tell)
    if as_json:
        print_json({"task": task, "model": subject.model_name, "set": structure, **asdict(found)})
    else:
        _show(found, subject, structure, drop)


def _rules(structure: str, sparsities: Sequence[float], task: "Task") -> "dict[str, Rules]":
    """One set of rules for each level, named as the level."""
    from slrprune.structures import STRUCTURES, targets

    known = {entry.name: entry for entry in STRUCTURES}
    if structure not in known:
        rule = f"must be one of {', '.join(known)}"
        raise ArgumentError("sensitivity", "set", structure, rule, "One layer alone shares no budget with others.")
    model: nn.Module = task.build_model()
    if known[structure].owns_level:
        (target,) = targets(structure, tuple(sparsities), model, "sensitivity")
        return {structure: target.rules}
    chosen = tuple(sparsities or _LEVELS)
    found = targets(structure, chosen, model, "sensitivity")
    return {f"{100 * level:.6g}%": target.rules for level, target in zip(chosen, found, strict=True)}


def _tell(layer: str, number: int, count: int) -> None:
    if err().is_terminal:
        err().print(f"[{number}/{count}] {layer}", markup=False, highlight=False, soft_wrap=True)


def _show(found: "Sensitivity", task: "Task", structure: str, drop: float) -> None:
    console = out()
    title = (
        f"{task.name}, {task.model_name}: {found.metric} on the {found.split} split with one layer cut ({structure}), "
        f"without training; dense {found.dense:.2f}%"
    )
    console.print(title, markup=False, highlight=False, soft_wrap=True)
    header = (
        "layer",
        *(["curve"] if len(found.levels) > 1 else []),
        "weights",
        *found.levels,
        f"loses <= {drop:g}",
    )
    rows = [_row(curve, found, drop, plain=console.options.ascii_only) for curve in found.curves]
    show_table(console, header, rows, texts=len(header) - len(found.levels) - 2)
    console.print(_verdict(found), markup=False, highlight=False, soft_wrap=True)


def _row(curve: "LayerCurve", found: "Sensitivity", drop: float, *, plain: bool) -> tuple[str, ...]:
    from slrprune.compare.chart import BARS, PLAIN, scale, sparkline

    measured = [accuracy for each in found.curves for accuracy in each.accuracy if accuracy is not None]
    low, high = scale([[*measured, found.dense]])
    own = [accuracy for accuracy in curve.accuracy if accuracy is not None]
    chart = [sparkline(own, low, high, PLAIN if plain else BARS)] if len(found.levels) > 1 else []
    cells = ["-" if accuracy is None else f"{accuracy:.1f}" for accuracy in curve.accuracy]
    count = curve.bears(found.dense, drop)
    return (curve.name, *chart, f"{curve.numel:,}", *cells, found.levels[count - 1] if count else "none")


def _verdict(found: "Sensitivity") -> str:
    """The layer that loses most at the last level."""
    last = [(curve.accuracy[-1], curve.name) for curve in found.curves if curve.accuracy[-1] is not None]
    accuracy, name = min(last, key=lambda entry: entry[0] or 0.0)
    return f"The most sensitive layer at {found.levels[-1]} is {name}: {accuracy:.1f}, from {found.dense:.1f} dense."
