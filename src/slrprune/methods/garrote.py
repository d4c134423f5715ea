"""Kept weights that come and go at zero: the garrote over the projection's threshold (docs/theory.md, eq. 27)."""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from slrprune.methods.base import MethodState, Moment, Problem
from slrprune.methods.masked import only

_THRESHOLD = "threshold_{}"  # of the weight at this position
_DEGREE = "degree"
_LEAST_POWER, _LARGEST_POWER = 3, 20  # of two


def no_thresholds(problem: Problem) -> dict[str, Tensor]:
    """The scalars of this file before any projection: 0, over which nothing is shrunk.

    Between updates the memory moves, so that the thresholds by which the network computes have to be kept. They are
    there from the start because `torch.distributed.checkpoint` loads only entries that the new state has.
    """
    zero = torch.zeros((), dtype=torch.float64, device=problem.device)
    return {_THRESHOLD.format(position): zero.clone() for position in range(len(problem.weights))}


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

    Args:
        problem: its sets say how strong a group is; where they do not, the threshold is 0.
        state: gets one scalar per weight; after a step that is not usable they stay.
        masks: bool, one per weight, right after a projection.
        points: V, one per weight.
        moment: of the step.
    """
    found = []
    for mask, point, strengths in zip(masks, points, _strengths(problem, points), strict=True):
        largest = point.new_zeros(()) if strengths is None else only(~mask, strengths).amax()
        found.append(largest.to(problem.device, torch.float64))
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
    """Z, what the network computes with (eq. 27): V on the support, shrunk near the threshold, and beta V off it.

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
    all_strengths = _strengths(problem, points) if degree else [None] * len(points)
    for position, (mask, point, strengths) in enumerate(zip(masks, points, all_strengths, strict=True)):
        kept = point
        if strengths is not None:
            threshold = state.scalars[_THRESHOLD.format(position)].to(point.device, point.dtype)
            kept = _factor_(strengths, threshold, degree, relaxation).mul_(point)
        yield relaxed(kept, point, mask, relaxation)


def relaxed(kept: Tensor, point: Tensor, mask: Tensor, relaxation: float | Tensor) -> Tensor:
    """`kept` on the support, beta V off it (eq. 20), a new tensor; beta = 0 is the feasible point."""
    if isinstance(relaxation, float) and relaxation == 0:
        return only(mask, kept)
    beta = relaxation.to(point.device) if isinstance(relaxation, Tensor) else relaxation
    return torch.where(mask, kept, (point * beta).to(kept.dtype))


def _strengths(problem: Problem, points: Sequence[Tensor]) -> Iterator[Tensor | None]:
    """For each weight what its set says of the strengths; None for a slice without entries, too."""
    constraints = {position: constraint for constraint, positions in problem.groups for position in positions}
    for position, point in enumerate(points):
        yield constraints[position].strengths(point) if point.numel() else None


def _factor_(strengths: Tensor, threshold: Tensor, degree: float, relaxation: float | Tensor) -> Tensor:
    """1 - (1 - beta) (t / max(s, t))^degree in place of s; what is kept has s >= t. The degree is a power of two."""
    power = torch.maximum(strengths, threshold.clamp(min=torch.finfo(strengths.dtype).tiny), out=strengths)
    power = torch.div(threshold, power, out=power)
    for _ in range(round(math.log2(degree))):  # squares are many times faster than powers
        power = power.square_()
    if isinstance(relaxation, Tensor):
        return power.mul_(relaxation.to(power.device, power.dtype) - 1).add_(1)
    return power.mul_(relaxation - 1).add_(1)
