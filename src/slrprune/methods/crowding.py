"""Whether a multiplier step would crowd the support: let in many entries at once (docs/theory.md, eq. 24)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from slrprune.methods.base import MethodState, Problem, total
from slrprune.methods.masked import only

_BOUND = "largest_multiplier_{}"  # of the budget with this number


def no_bounds(problem: Problem) -> dict[str, Tensor]:
    """The scalars of `remember_largest` before any projection, inf: then nothing crowds.

    They are there from the start because `torch.distributed.checkpoint` loads only entries that the new state has.
    """
    numbers = range(len(problem.groups))
    return {_BOUND.format(n): torch.full((), torch.inf, dtype=torch.float64, device=problem.device) for n in numbers}


def remember_largest(problem: Problem, state: MethodState, masks: Sequence[Tensor], points: Sequence[Tensor]) -> None:
    """Keeps, for each budget, the largest magnitude off the support: what an entry must exceed to be let in.

    Args:
        problem: says which weights share a budget, and which ranks hold them.
        state: gets one scalar per budget; 0 where nothing is off the support.
        masks: of the support, bool, one per weight, right after a projection.
        points: what was projected, one per weight.
    """
    pairs = zip(masks, points, strict=True)
    largest = [_largest(mask, point).to(problem.device, torch.float64) for mask, point in pairs]
    bounds = torch.stack([torch.stack([largest[p] for p in positions]).amax() for _, positions in problem.groups])
    if problem.world.ranks > 1:
        bounds = problem.world.gather(bounds).amax(0)
    for number, bound in enumerate(bounds.unbind()):
        state.scalars[_BOUND.format(number)] = bound.clone()


def crowds(
    problem: Problem, state: MethodState, masks: Sequence[Tensor], points: Sequence[Tensor], tolerance: float
) -> Tensor:
    """Whether too many entries off the support exceed the largest that was there after the last projection.

    Args:
        problem: as for `remember_largest`.
        state: after `remember_largest`. Without bounds, as in states saved before there were any, nothing crowds.
        masks: of the support, bool, one per weight.
        points: what is to be projected next, one per weight.
        tolerance: as many as this fraction of the support are not too many; one entry never is.

    Returns:
        0-dim bool on the problem's device, the same on all ranks.
    """
    above = []
    for number, (_, positions) in enumerate(problem.groups):
        bound = state.scalars.get(_BOUND.format(number))
        if bound is None:
            return torch.zeros((), dtype=torch.bool, device=problem.device)
        for position in positions:
            exceeds = points[position].abs() > bound.to(points[position].device, points[position].dtype)
            above.append(torch.count_nonzero(exceeds & ~masks[position]))
    kept = [torch.count_nonzero(mask) for mask in masks]
    counts = torch.stack([total(above, problem.device), total(kept, problem.device)])
    if problem.world.ranks > 1:
        counts = problem.world.sum(counts)
    return counts[0] > (tolerance * counts[1]).clamp(min=1)


def _largest(mask: Tensor, point: Tensor) -> Tensor:
    """Largest magnitude where `mask` is False, 0-dim; 0 where there is none."""
    if not point.numel():
        return point.new_zeros(())
    low, high = only(~mask, point).aminmax()
    return torch.maximum(-low, high)
