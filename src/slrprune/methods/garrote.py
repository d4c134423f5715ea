"""Kept weights that come and go at zero: the garrote over the projection's threshold (docs/theory.md, eq. 27, 28)."""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from slrprune.methods.base import MethodState, Moment, Problem, unless_unusable
from slrprune.methods.masked import only
from slrprune.sets.base import ConstraintSet

_THRESHOLD = "threshold_{}"  # of the weight at this position
_THRESHOLDS = "thresholds"  # of every entry, where groups decide alone
_DEGREE = "degree"
_LEAST_POWER, _LARGEST_POWER = 3, 20  # of two


def no_thresholds(problem: Problem) -> dict[str, Tensor]:
    """The scalars of this file before any projection: 0, over which nothing is shrunk.

    Between updates the memory moves, so that the thresholds by which the network computes have to be kept. They are
    there from the start because `torch.distributed.checkpoint` loads only entries that the new state has.
    """
    zero = torch.zeros((), dtype=torch.float64, device=problem.device)
    return {_THRESHOLD.format(position): zero.clone() for position in range(len(problem.weights))}


def no_thresholds_of_entries(problem: Problem, memory: Sequence[Tensor]) -> dict[str, list[Tensor]]:
    """The thresholds of entries before any projection: zeros, if the groups of any set of the problem decide alone.

    Args:
        problem: its sets say so.
        memory: one tensor per weight of the shape and dtype in which points are kept.
    """
    if not any(constraint.groups_decide_alone for constraint, _ in problem.groups):
        return {}
    return {_THRESHOLDS: [torch.zeros_like(point) for point in memory]}


def no_degree() -> dict[str, float]:
    """The number of this file before the first update: 0, which says that there is no degree yet."""
    return {_DEGREE: 0.0}


def remember_degree(state: MethodState, moment: Moment, product: float) -> None:
    """Keeps the degree of the garrote: the power of two nearest to `product` / total steps, from 8 to 2^20.

    Over the range where it shrinks, a part 1/degree of the threshold, an entry should pass in a small part of the run.

    Args:
        state: gets the number at its first update.
        moment: of any step: its time says how many there will be.
        product: above 0.
    """
    if not state.numbers[_DEGREE]:
        power = round(math.log2(product) + math.log2(moment.time / moment.step))
        state.numbers[_DEGREE] = 2.0 ** min(max(_LEAST_POWER, power), _LARGEST_POWER)


def remember_thresholds(
    problem: Problem, state: MethodState, masks: Sequence[Tensor], points: Sequence[Tensor], moment: Moment
) -> None:
    """Keeps, for each weight, the largest strength among the groups that the projection cut, on all ranks.

    Where groups decide alone, every entry has a threshold of its own in place of that (eq. 28).

    Args:
        problem: its sets say how strong a group is; where they do not, and groups do not decide alone, nothing will be
            shrunk.
        state: gets one scalar per weight, 0 where it has no such threshold, and one tensor per weight where groups
            decide alone. After a step that is not usable both stay.
        masks: bool, one per weight, right after a projection.
        points: V, one per weight.
        moment: of the step.
    """
    found = []
    for position, (constraint, mask, point) in enumerate(zip(_constraints(problem), masks, points, strict=True)):
        largest = torch.zeros((), dtype=torch.float64, device=problem.device)
        if constraint.groups_decide_alone:
            of_entries = state.tensors[_THRESHOLDS]
            new, old = [constraint.thresholds(point, mask)], [of_entries[position]]
            of_entries[position] = unless_unusable(new, old, moment.is_usable)[0]
        elif (strengths := _strengths(constraint, point)) is not None:
            largest = only(~mask, strengths).amax().to(problem.device, torch.float64)
        found.append(largest)
    largest_of_all = torch.stack(found)
    if problem.world.ranks > 1:
        largest_of_all = problem.world.gather(largest_of_all).amax(0)
    if moment.is_usable is not None:
        before = torch.stack([state.scalars[_THRESHOLD.format(position)] for position in range(len(found))])
        largest_of_all = torch.where(moment.is_usable, largest_of_all, before)
    state.scalars.update({_THRESHOLD.format(p): value.clone() for p, value in enumerate(largest_of_all.unbind())})


def network_points(
    problem: Problem,
    state: MethodState,
    masks: Sequence[Tensor],
    points: Sequence[Tensor],
    relaxation: float | Tensor,
) -> Iterator[Tensor]:
    """Z, what the network computes with (eq. 27, 28): V on the support, shrunk near the threshold, and beta V off it.

    Args:
        problem: its sets say how strong a group is.
        state: after `remember_degree` and `remember_thresholds`; before, and without a degree, nothing is shrunk.
        masks: of the support, bool, one per weight.
        points: V.
        relaxation: beta of the relaxed path (eq. 20).

    Yields:
        New tensors of the dtype of the points, one weight after the other, so that not all need be held at once.
    """
    degree = state.numbers.get(_DEGREE, 0.0)
    for position, (constraint, mask, point) in enumerate(zip(_constraints(problem), masks, points, strict=True)):
        kept, strengths = point, _strengths(constraint, point) if degree else None
        if strengths is not None:
            if constraint.groups_decide_alone:
                threshold = state.tensors[_THRESHOLDS][position]
            else:
                threshold = state.scalars[_THRESHOLD.format(position)].to(point.device, point.dtype)
            kept = _factor_(strengths, threshold, degree, relaxation).mul_(point)
        yield relaxed(kept, point, mask, relaxation)


def relaxed(kept: Tensor, point: Tensor, mask: Tensor, relaxation: float | Tensor) -> Tensor:
    """`kept` on the support, beta V off it (eq. 20), a new tensor; beta = 0 is the feasible point."""
    if isinstance(relaxation, float) and relaxation == 0:
        return only(mask, kept)
    beta = relaxation.to(point.device) if isinstance(relaxation, Tensor) else relaxation
    return torch.where(mask, kept, (point * beta).to(kept.dtype))


def _strengths(constraint: ConstraintSet, point: Tensor) -> Tensor | None:
    """A new tensor of the strengths, of magnitudes where groups decide alone; None where nothing is shrunk."""
    if not point.numel():
        return None
    return point.abs() if constraint.groups_decide_alone else constraint.strengths(point)


def _constraints(problem: Problem) -> list[ConstraintSet]:
    """The set of each weight."""
    found = {position: constraint for constraint, positions in problem.groups for position in positions}
    return [found[position] for position in range(len(problem.weights))]


def _factor_(strengths: Tensor, threshold: Tensor, degree: float, relaxation: float | Tensor) -> Tensor:
    """1 - (1 - beta) (t / max(s, t))^degree in place of s; what is kept has s >= t. The degree is a power of two."""
    power = torch.maximum(strengths, threshold.clamp(min=torch.finfo(strengths.dtype).tiny), out=strengths)
    power = torch.div(threshold, power, out=power)
    for _ in range(round(math.log2(degree))):  # squares are many times faster than powers
        power = power.square_()
    if isinstance(relaxation, Tensor):
        return power.mul_(relaxation.to(power.device, power.dtype) - 1).add_(1)
    return power.mul_(relaxation - 1).add_(1)
