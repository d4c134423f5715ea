"""Constraint sets by name, for a command line: what a comparison asks of all prunable weights alike."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from slrprune.errors import ArgumentError, ShapeError, UsageError, suggestion
from slrprune.rules import Target as Weight
from slrprune.rules import find_targets
from slrprune.sets import NM, Block, Channel, Column, ConstraintSet, KernelPattern, Unstructured
from slrprune.target import Target


@dataclass(frozen=True)
class Structure:
    """A family of sets, one for each sparsity.

    Args:
        name: on the command line.
        description: one line.
        make: the set of one tensor, from the sparsity; what owns its level ignores it.
        owns_level: whether the pattern itself says how many zeros there are.
        convolutions_only: leaves linear layers out: the rows of a classifier are its classes, not filters.
    """

    name: str
    description: str
    make: Callable[[float], ConstraintSet]
    owns_level: bool = False
    convolutions_only: bool = False

    def target(self, sparsity: float | None, model: nn.Module, where: str = "compare") -> Target:
        """The target for the prunable weights of `model` that fit the set; the others stay dense.

        Args:
            sparsity: fraction of zeros in these weights, in [0, 1); None where the set owns its level.
            model: looked at for the shapes of its weights.
            where: what errors begin with.

        Raises:
            ArgumentError: a sparsity that is missing, or that the set does not take, or out of range.
            UsageError: no weight fits.
        """
        if self.owns_level != (sparsity is None):
            rule = "must not be given: the pattern owns its level" if self.owns_level else "must be given"
            raise ArgumentError(where, "sparsity", sparsity, f"{rule} (set {self.name})")
        constraint = self.make(0.0 if sparsity is None else sparsity)
        weights = [weight for weight in find_targets(model) if weight.is_default and not weight.obstacle]
        misfits = {weight.name: self.misfit(constraint, weight) for weight in weights}
        fitting = [weight for weight in weights if not misfits[weight.name]]
        if not fitting:
            kind = type(model).__name__
            if not weights:
                raise UsageError(where, f"no weight of {kind} is pruned by default", "Rules may name others.")
            name, reason = next(iter(misfits.items()))
            problem = f"no weight of {kind} fits the set {self.name}, for example {name}: {reason}"
            raise UsageError(where, problem, "Take another set.")
        level = "" if sparsity is None else f"-{100 * sparsity:.6g}%"
        label = self.name.replace(":", "-") + level
        return Target(label, {weight.name: constraint for weight in fitting}, sparsity)

    def misfit(self, constraint: ConstraintSet, weight: Weight) -> str:
        """Why a weight does not fit a set of this family; empty where it does."""
        if self.convolutions_only and weight.parameter.ndim < 3:
            return f"the set {self.name} is for convolutions"
        try:
            oriented = constraint.transposed() if weight.is_transposed else constraint
            oriented.check(weight.name, weight.parameter.shape)
        except ShapeError as error:
            return str(error).removeprefix(f"{weight.name}: ").partition(". ")[0]
        return ""


STRUCTURES = (
    Structure("unstructured", "single weights, the same sparsity in every layer", Unstructured),
    Structure("filters", "whole filters of convolutions", Channel, convolutions_only=True),
    Structure("columns", "whole columns of the im2col matrix", Column),
    Structure("blocks-4x1", "blocks of 4 output channels by 1 input", lambda sparsity: Block((4, 1), sparsity)),
    Structure("2:4", "2 of every 4 consecutive inputs stay", lambda _: NM(2, 4), owns_level=True),
    Structure("kernel-patterns", "one of 8 patterns per 3x3 kernel", lambda _: KernelPattern(), owns_level=True),
)
"""All structures but "global", the default, which is `Target.at`."""

GLOBAL = "global"


def targets(name: str, sparsities: tuple[float, ...], model: nn.Module, where: str = "compare") -> tuple[Target, ...]:
    """The targets of a comparison: one for each sparsity, or the one of a set that owns its level.

    Args:
        name: "global", or the name of a structure.
        sparsities: fractions of zeros, each in [0, 1).
        model: looked at for the shapes of its weights.
        where: what errors begin with.

    Raises:
        ArgumentError: an unknown name, which lists what there is; otherwise as `Structure.target`.
        UsageError: no weight fits.

    Examples:
        >>> [target.label for target in targets("filters", (0.25, 0.5), nn.Sequential(nn.Conv2d(1, 8, 3)))]
        ['filters-25%', 'filters-50%']
    """
    if name == GLOBAL:
        return tuple(Target.at(sparsity) for sparsity in sparsities)
    known = {structure.name: structure for structure in STRUCTURES}
    if name not in known:
        rule = f"must be one of {', '.join([GLOBAL, *known])}"
        raise ArgumentError(where, "set", name, rule, suggestion(name, [GLOBAL, *known]))
    structure = known[name]
    levels: tuple[float | None, ...] = sparsities or (None,)
    return tuple(structure.target(sparsity, model, where) for sparsity in levels)
