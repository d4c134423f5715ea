"""The layers that one-shot pruning works on: a weight, the modules that use it, its set."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from slrprune.errors import RuleError, UsageError
from slrprune.oneshot.layout import Layout, layout_of
from slrprune.rules import Rules, Skipped, assign
from slrprune.sets.base import ConstraintSet
from slrprune.sets.global_ import Global


@dataclass(frozen=True, eq=False)
class PrunableLayer:
    """One weight to prune.

    Args:
        name: canonical parameter name.
        owners: the modules that compute with it: several where it is tied. H sums over the inputs of all.
        attribute: under which they hold it.
        layout: how the weight becomes a matrix.
        constraint: its set, for the weight as stored; a joint one is shared with other layers.
    """

    name: str
    owners: tuple[nn.Module, ...]
    attribute: str
    layout: Layout
    constraint: ConstraintSet

    @property
    def weight(self) -> Tensor:
        """The parameter, looked up anew: a streamed one comes and goes."""
        weight: Tensor = getattr(self.owners[0], self.attribute)
        return weight


def prunable_layers(model: nn.Module, rules: Rules) -> tuple[list[PrunableLayer], list[Skipped]]:
    """What the rules select, in registration order, and what stays dense.

    Raises:
        RuleError: as `rules.assign`; a joint set other than a `Global` in weights.
        UsageError: a selected weight of a module that has no layer problem.
        ShapeError: a weight that its set cannot take.
    """
    assignments, skipped = assign(model, rules)
    found: list[PrunableLayer] = []
    for assignment in assignments:
        if assignment.constraint.is_joint:
            _check_joint(assignment.constraint)
        for target in assignment.targets:
            owners = _owners(model, target.parameter)
            layouts = [layout_of(target.name, module) for module, _ in owners]
            if any(layout != layouts[0] for layout in layouts):
                problem = "is tied between modules that read it in different ways"
                raise UsageError(target.name, problem, f"Leave it out with the rule {target.name!r}: None.")
            assignment.constraint.check(target.name, target.parameter.shape)
            modules = tuple(module for module, _ in owners)
            found.append(PrunableLayer(target.name, modules, owners[0][1], layouts[0], assignment.constraint))
    order = {id(parameter): place for place, parameter in enumerate(model.parameters())}
    return sorted(found, key=lambda layer: order[id(layer.weight)]), skipped


def _owners(model: nn.Module, parameter: nn.Parameter) -> Sequence[tuple[nn.Module, str]]:
    return [
        (module, name)
        for module in model.modules()
        for name, own in module.named_parameters(recurse=False, remove_duplicate=False)
        if own is parameter
    ]


def _check_joint(constraint: ConstraintSet) -> None:
    if not isinstance(constraint, Global) or constraint.macs is not None:
        problem = "one-shot pruning shares a budget of weights, bytes or a sparsity over layers, and no other"
        raise RuleError(repr(constraint), problem, "Write Global(0.5), or give every layer a set of its own.")
