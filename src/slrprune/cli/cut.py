"""--set, --sparsity and --dense on the command line: rules for a model, and the bare cut by magnitude."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from slrprune.rules import Rules

SET_HELP = "Which zeros: global, unstructured, filters, columns, blocks-4x1, 2:4, or kernel-patterns."
DENSE_HELP = "Name or glob of weights that stay dense; repeat for several."


def rules_for(model: "nn.Module", structure: str, sparsity: float, dense: list[str], verb: str) -> "Rules":
    """The set for all weights that are pruned by default and fit it, apart from those that stay dense.

    Args:
        model: what to prune.
        structure: name of a set, as for `slrprune compare`.
        sparsity: fraction of zeros, in [0, 1); a set that owns its level ignores it.
        dense: names of modules or parameters, or globs.
        verb: for messages.

    Raises:
        ArgumentError: an unknown set, or a sparsity that it does not take.
        RuleError: a pattern in `dense` that matches nothing.
        UsageError: nothing fits.
    """
    from torch import nn

    from slrprune.sets import ConstraintSet
    from slrprune.structures import STRUCTURES, targets

    owns_level = any(entry.owns_level for entry in STRUCTURES if entry.name == structure)
    (target,) = targets(structure, () if owns_level else (sparsity,), model, verb)
    if not dense:
        return target.rules
    stays: dict[str | type[nn.Module], ConstraintSet | None] = dict.fromkeys(dense)
    if not isinstance(target.rules, Mapping):
        return {**stays, nn.Module: target.rules}
    return stays | {name: chosen for name, chosen in target.rules.items() if not _fits(str(name), dense)}


def misfits(model: "nn.Module", structure: str, sparsity: float) -> dict[str, str]:
    """Why weights that are pruned by default do not fit the set, by name; nothing for those that fit.

    Args:
        model: what to prune.
        structure: name of a set that `rules_for` takes.
        sparsity: as there.
    """
    from slrprune.rules import find_targets
    from slrprune.structures import STRUCTURES

    found: dict[str, str] = {}
    for entry in [entry for entry in STRUCTURES if entry.name == structure]:
        constraint = entry.make(sparsity)
        for target in find_targets(model):
            reason = entry.misfit(constraint, target) if target.is_default and not target.obstacle else ""
            if reason:
                found[target.name] = reason
    return found


def cut_by_magnitude_(model: "nn.Module", rules: "Rules") -> None:
    """Writes the nearest point of the rules' sets into the model, in place: no training, so no claim to accuracy."""
    import torch

    from slrprune.rules import assign

    assignments, _ = assign(model, rules)
    with torch.no_grad():
        for assignment in assignments:
            weights = {target.name: target.parameter.detach() for target in assignment.targets}
            masks = assignment.constraint.bind(model, weights).masks(list(weights.values()))
            for weight, mask in zip(weights.values(), masks, strict=True):
                weight.masked_fill_(~mask, 0)


def has_zeros(model: "nn.Module") -> bool:
    """Whether a weight that is pruned by default holds a zero."""
    from slrprune.rules import find_targets

    return any(bool((target.parameter == 0).any()) for target in find_targets(model) if target.is_default)


def _fits(name: str, patterns: list[str]) -> bool:
    owner = name.rpartition(".")[0]
    return any(fnmatchcase(name, pattern) or fnmatchcase(owner, pattern) for pattern in patterns)
