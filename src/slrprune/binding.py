"""Rules bound to a model: the problem that a pruner solves, and who else holds its weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import ReferenceType, ref

import torch
from torch import nn
from torch.utils.weak import WeakTensorKeyDictionary

from slrprune.distributed.world import World
from slrprune.errors import UsageError
from slrprune.methods.base import Problem
from slrprune.rules import Assignment, Rules, Skipped, Target, assign
from slrprune.sets.base import ConstraintSet

_owners: "WeakTensorKeyDictionary" = WeakTensorKeyDictionary()
"""Which living pruner constrains a parameter; two on one weight would undo each other."""


@dataclass(frozen=True, eq=False)
class Bound:
    """What the rules select, in registration order, and the problem made of it."""

    targets: tuple[Target, ...]
    skipped: list[Skipped]
    problem: Problem


def bind(model: nn.Module, rules: Rules, world: World) -> Bound:
    """Applies `rules` to `model`.

    Raises:
        RuleError, ShapeError, ArgumentError: see `rules.assign` and `ConstraintSet.bind`.
        UsageError: a weight that lies on other ranks than the first, or in the memory of another one, or a set that
            cannot be had over several ranks.
    """
    assignments, skipped = assign(model, rules)
    order = {id(parameter): index for index, parameter in enumerate(model.parameters())}
    found = (target for assignment in assignments for target in assignment.targets)
    targets = tuple(sorted(found, key=lambda target: order[id(target.parameter)]))
    _refuse_shared_memory(targets, world)
    for target in targets:
        if not world.holds(target.parameter):
            problem = f"lies on other ranks, or is cut in another way, than {type(world).__name__} has it"
            raise UsageError(target.name, problem, "Shard the whole model with one mesh, or leave the weight out.")
    return Bound(targets, skipped, _problem(model, assignments, targets, world))


def _refuse_shared_memory(targets: Sequence[Target], world: World) -> None:
    """Two parameters over one memory would overwrite each other's zeros; one under two names is no problem."""
    places: dict[tuple[object, ...], str] = {}
    for target in targets:
        weight = world.local(target.parameter.detach())
        address = 0 if weight.device.type == "meta" else weight.untyped_storage().data_ptr()
        if address == 0:  # nothing lies there
            continue
        place = (weight.device, address, weight.storage_offset())
        other = places.setdefault(place, target.name)
        if other != target.name:
            way_out = "Tie them by assigning the same Parameter to both modules, or leave one out."
            raise UsageError(target.name, f"lies in the same memory as {other}, but is another Parameter", way_out)


def present_weights(targets: Sequence[Target], world: World) -> tuple[torch.Tensor, ...]:
    """What this rank holds of the weights now; outside of grad mode views without a gradient where they are cut."""
    return tuple(world.local(target.parameter) for target in targets)


def register(targets: Sequence[Target], pruner: Any) -> None:
    """Notes that `pruner` constrains these weights."""
    for target in targets:
        _owners[target.parameter] = ref(pruner)


def refuse_second_pruner(targets: Sequence[Target], pruner: Any) -> None:
    """Raises `UsageError` where another living pruner, not finalized, holds one of the weights."""
    for target in targets:
        holder: ReferenceType[Any] | None = _owners.get(target.parameter)
        other = holder() if holder is not None else None
        if other is not None and other is not pruner and not other.is_finalized:
            way_out = "Finalize or delete the other pruner first, or put all rules into one."
            raise UsageError("Pruner", f"{target.name} is held by another pruner", way_out)


@torch.no_grad()
def _problem(model: nn.Module, assignments: Sequence[Assignment], targets: Sequence[Target], world: World) -> Problem:
    """Sets bound to their weights, positions counted along `targets`."""
    position = {id(target): index for index, target in enumerate(targets)}
    groups: list[tuple[ConstraintSet, tuple[int, ...]]] = []
    for assignment in assignments:
        weights = {target.name: target.parameter for target in assignment.targets}
        for name, weight in weights.items():
            if world.ranks > 1:
                assignment.constraint.check_slices(name, tuple(weight.shape), world.ranks)
        bound = assignment.constraint.bind(model, weights)
        groups.append((bound, tuple(position[id(target)] for target in assignment.targets)))
    return Problem(
        names=tuple(target.name for target in targets),
        weights=present_weights(targets, world),
        groups=tuple(groups),
        world=world,
        shapes=tuple(tuple(target.parameter.shape) for target in targets),
        unit_dims=tuple(target.unit_dim for target in targets),
    )
