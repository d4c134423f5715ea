"""`slrprune inspect`: what rules would prune in a model, and what they leave alone."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slrprune.cli.completion import complete_task
from slrprune.cli.consoles import out
from slrprune.cli.cut import DENSE_HELP, SET_HELP, misfits, rules_for
from slrprune.cli.models import MODEL_HELP, resolve
from slrprune.cli.rule_options import RULE_HELP, read_rules
from slrprune.cli.session import print_json
from slrprune.cli.tables import show_table
from slrprune.cli.task_options import DATA_HELP, OPTION_HELP
from slrprune.errors import UsageError

if TYPE_CHECKING:
    from torch import nn

    from slrprune.analysis import Inspection

_SET, _SPARSITY = "global", 0.9
_SHOWN = 3


def inspect(
    model: Annotated[str, typer.Argument(help=MODEL_HELP, autocompletion=complete_task)],
    rule: Annotated[list[str] | None, typer.Option(help=RULE_HELP)] = None,
    structure: Annotated[str | None, typer.Option("--set", help=f"{SET_HELP} [{_SET}]")] = None,
    sparsity: Annotated[float | None, typer.Option(help=f"Fraction of zeros, in [0, 1). [{_SPARSITY}]")] = None,
    dense: Annotated[list[str] | None, typer.Option(help=DENSE_HELP)] = None,
    data: Annotated[Path | None, typer.Option(help=DATA_HELP)] = None,
    option: Annotated[list[str] | None, typer.Option(help=OPTION_HELP)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what rules would prune in a model, and what not and why.

    The rules are given one by one, or as one set for all weights that fit it. Nothing is changed or trained.
    """
    if rule and (structure is not None or sparsity is not None or dense):
        way_out = "A rule names its own set, and pattern=null is what stays dense."
        raise UsageError("inspect", "--rule excludes --set, --sparsity and --dense", way_out)
    subject = resolve(model, option or [], data, "inspect")
    if rule:
        found = _by_rules(subject.model, rule)
    else:
        found = _by_set(subject.model, structure or _SET, _SPARSITY if sparsity is None else sparsity, dense or [])
    if as_json:
        print_json({"model": subject.name, **_content(found)})
    else:
        _show(subject.name, found, shows_rules=bool(rule))


def _by_rules(model: "nn.Module", entries: list[str]) -> "Inspection":
    from slrprune.analysis import inspect_rules

    return inspect_rules(model, read_rules(entries, "inspect"))


def _by_set(model: "nn.Module", structure: str, sparsity: float, dense: list[str]) -> "Inspection":
    """One set for what fits it; the reason of what does not."""
    from slrprune.analysis import Inspection, inspect_rules

    found = inspect_rules(model, rules_for(model, structure, sparsity, dense, "inspect"))
    unfit = misfits(model, structure, sparsity)
    rows = [
        replace(row, rule=f"--set {structure}")
        if row.is_pruned
        else replace(row, reason=f"--dense {row.rule}")
        if row.rule in dense
        else replace(row, reason=unfit.get(row.name, row.reason))
        for row in found.rows
    ]
    return Inspection(tuple(rows))


def _content(found: "Inspection") -> Mapping[str, Any]:
    rows = [{**asdict(row), "is_pruned": row.is_pruned, "sparsity": row.sparsity} for row in found.rows]
    totals = {"numel": found.numel, "pruned_numel": found.pruned_numel, "pruned_nonzeros": found.pruned_nonzeros}
    return {"parameters": rows, **totals}


def _show(name: str, found: "Inspection", *, shows_rules: bool) -> None:
    console = out()
    _say(f"{name}: {found.numel:,} parameters in {len(found.rows)} tensors")
    _say("")
    header = ("pruned", *(["rule"] if shows_rules else []), "set", "shape", "parameters", "zeros")
    show_table(console, header, [*_pruned(found, shows_rules=shows_rules)], texts=len(header) - 3)
    _say("")
    if found.skipped:
        show_table(console, ("stays dense", "for example", "tensors", "parameters"), [*_skipped(found)], texts=2)
        _say("")
    zeros = found.pruned_numel - found.pruned_nonzeros
    _say(
        f"{found.pruned_numel:,} of {found.numel:,} parameters are pruned, in {len(found.pruned)} tensors; "
        f"{zeros:,} become zero: {_share(zeros, found.pruned_numel)} of them, {_share(zeros, found.numel)} of all."
    )
    if any((row.constraint or "").startswith("Global(") for row in found.pruned):
        _say("How a shared budget is spread over the layers is shown for the weights as they are; training changes it.")


def _pruned(found: "Inspection", *, shows_rules: bool) -> Iterator[tuple[str, ...]]:
    for row in found.pruned:
        rule = [row.rule or ""] if shows_rules else []
        shape = "x".join(map(str, row.shape))
        yield row.name, *rule, row.constraint or "", shape, f"{row.numel:,}", f"{100 * row.sparsity:.1f}%"


def _skipped(found: "Inspection") -> Iterator[tuple[str, ...]]:
    """One line for each reason."""
    for reason in dict.fromkeys(row.reason for row in found.skipped):
        rows = [row for row in found.skipped if row.reason == reason]
        more = f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
        names = ", ".join(row.name for row in rows[:_SHOWN]) + more
        yield reason, names, str(len(rows)), f"{sum(row.numel for row in rows):,}"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}%" if whole else "0%"


def _say(line: str) -> None:
    out().print(line, markup=False, highlight=False, soft_wrap=True)
