"""What rules select in a model, which rule decided, and what stays dense for which reason."""

from dataclasses import dataclass

import torch
from torch import nn

from slrprune.rules import Assignment, Rules, Target, assign, find_targets, matched_rules


@dataclass(frozen=True)
class InspectionRow:
    """One parameter.

    Attributes:
        name: canonical.
        kind: class of the module that owns it.
        shape: of the tensor.
        numel: number of entries; 0 while a lazy module has not made them.
        rule: the pattern that decides over it, as one writes it; None where no rule selects it.
        constraint: the set, as one writes it; None for what stays dense.
        nonzeros: entries that a cut would leave, were it made now; all of them for what stays dense.
        reason: why it stays dense; empty for what is pruned.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    numel: int
    rule: str | None
    constraint: str | None
    nonzeros: int
    reason: str

    @property
    def is_pruned(self) -> bool:
        """Whether a set governs it."""
        return self.constraint is not None

    @property
    def sparsity(self) -> float:
        """Fraction of zeros that a cut would make, in [0, 1]."""
        return 1 - self.nonzeros / self.numel if self.numel else 0.0


@dataclass(frozen=True)
class Inspection:
    """All parameters of a model, in registration order.

    Attributes:
        rows: one for each parameter; a tied parameter is there once.
    """

    rows: tuple[InspectionRow, ...]

    @property
    def pruned(self) -> tuple[InspectionRow, ...]:
        """What a set governs."""
        return tuple(row for row in self.rows if row.is_pruned)

    @property
    def skipped(self) -> tuple[InspectionRow, ...]:
        """What stays dense."""
        return tuple(row for row in self.rows if not row.is_pruned)

    @property
    def numel(self) -> int:
        """Entries of all parameters."""
        return sum(row.numel for row in self.rows)

    @property
    def pruned_numel(self) -> int:
        """Entries of the pruned parameters."""
        return sum(row.numel for row in self.pruned)

    @property
    def pruned_nonzeros(self) -> int:
        """What is left of them after a cut."""
        return sum(row.nonzeros for row in self.pruned)


def inspect_rules(model: nn.Module, rules: Rules) -> Inspection:
    """What `rules` would do to `model`, which is not changed.

    The number of zeros of each parameter is that of a cut made now, by magnitude. A set of its own level has the same
    number after training; a budget that several parameters share is spread by the weights at that time.

    Args:
        model: trained or not.
        rules: as `Pruner` takes them: a set, or a mapping from pattern to set or None.

    Raises:
        ArgumentError, RuleError, ShapeError, NonFiniteError: as `Pruner` does for these rules.

    Examples:
        >>> from slrprune import Unstructured
        >>> found = inspect_rules(nn.Sequential(nn.Linear(10, 10), nn.Linear(10, 2)), {"0": Unstructured(0.9)})
        >>> [(row.name, row.nonzeros, row.reason) for row in found.rows[:3:2]]
        [('0.weight', 10, ''), ('1.weight', 20, 'no rule selects it')]
    """
    assignments, skipped = assign(model, rules)
    matched = matched_rules(model, rules)
    reasons = {entry.name: entry.reason for entry in skipped}
    sets = {target.name: repr(each.constraint) for each in assignments for target in each.targets}
    left = {name: count for each in assignments for name, count in _nonzeros(model, each).items()}
    rows = []
    for target in find_targets(model):
        numel = 0 if nn.parameter.is_lazy(target.parameter) else target.parameter.numel()
        reason = reasons.get(target.name, "")
        if target.name not in matched and target.obstacle:
            reason = target.obstacle
        rows.append(
            InspectionRow(
                name=target.name,
                kind=type(target.module).__name__,
                shape=_shape(target),
                numel=numel,
                rule=matched.get(target.name),
                constraint=sets.get(target.name),
                nonzeros=left.get(target.name, numel),
                reason=reason,
            )
        )
    return Inspection(tuple(rows))


def _nonzeros(model: nn.Module, assignment: Assignment) -> dict[str, int]:
    """What the set would leave of each of its parameters."""
    weights = {target.name: target.parameter.detach() for target in assignment.targets}
    with torch.no_grad():
        masks = assignment.constraint.bind(model, weights).masks(list(weights.values()))
    return {name: int(mask.count_nonzero()) for name, mask in zip(weights, masks, strict=True)}


def _shape(target: Target) -> tuple[int, ...]:
    return () if nn.parameter.is_lazy(target.parameter) else tuple(target.parameter.shape)
