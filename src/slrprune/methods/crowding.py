"""How much of a multiplier step each weight takes, so that none crowds into the support (docs/theory.md, eq. 24)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from slrprune.methods.base import MethodState, Moment, Problem
from slrprune.methods.masked import only

_BOUND = "largest_multiplier_{}"  # of the budget with this number
_SHARE = "share_{}"  # of the weight at this position
_LEAST = 2.0**-20  # a share that reached 0 could not grow again


def no_crowding(problem: Problem) -> dict[str, Tensor]:
    """The scalars of this file before any projection: bounds of inf, below which nothing crowds, and whole steps.

    They are there from the start because `torch.distributed.checkpoint` loads only entries that the new state has.
    """
    whole = torch.ones((), dtype=torch.float64, device=problem.device)
    bounds = {_BOUND.format(number): torch.full_like(whole, torch.inf) for number in range(len(problem.groups))}
    return {**bounds, **{_SHARE.format(position): whole.clone() for position in range(len(problem.weights))}}


def shares(problem: Problem, state: MethodState, fails: Tensor | None = None) -> Tensor:
    """s, for each weight the part of sigma that its next step takes while condition 1 fails, in (0, 1].

    Args:
        problem: says how many weights there are.
        state: after `no_crowding`, or saved before there were shares.
        fails: where only the device knows whether condition 1 fails, a 0-dim bool: 1 takes the place of s if not.

    Returns:
        Float64 on the problem's device, one for each weight.
    """
    whole = torch.ones((), dtype=torch.float64, device=problem.device)
    present = torch.stack([state.scalars.get(_SHARE.format(p), whole) for p in range(len(problem.weights))])
    return present if fails is None else torch.where(fails, present, 1.0)


def adapt_shares(
    problem: Problem, state: MethodState, moment: Moment, fails: bool | Tensor, crowded: Tensor | None
) -> None:
    """Half of s for a weight's next step where this one crowded the support, else twice as much, 1 at most.

    Args:
        problem: as for `shares`.
        state: its shares move.
        moment: of the step; after one that is not usable they stay.
        fails: whether condition 1 fails, known to the host or a 0-dim bool on the device; while it holds all are 1.
        crowded: one bool for each weight; None where the host knows that condition 1 holds.
    """
    present = shares(problem, state)
    if crowded is None and bool((present == 1).all()):
        return  # as a rule; the host may look here, and writing one scalar for each weight takes longer
    moved = torch.ones_like(present)
    if crowded is not None:
        moved = torch.where(crowded, present / 2, present * 2).clamp(_LEAST, 1)
    if isinstance(fails, Tensor):
        moved = torch.where(fails, moved, 1.0)
    if moment.is_usable is not None:
        moved = torch.where(moment.is_usable, moved, present)
    state.scalars.update({_SHARE.format(position): share.clone() for position, share in enumerate(moved.unbind())})


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
    """Of which weights too many entries off the support exceed the largest that was there after the last projection.

    Args:
        problem: as for `remember_largest`.
        state: after `remember_largest`. Without bounds, as in states saved before there were any, nothing crowds.
        masks: of the support, bool, one per weight.
        points: what is to be projected next, one per weight.
        tolerance: as many as this fraction of a weight's support are not too many; one entry never is.

    Returns:
        Bool on the problem's device, one for each weight, the same on all ranks.
    """
    above, kept = [], []
    bounds = {
        p: state.scalars.get(_BOUND.format(n)) for n, (_, positions) in enumerate(problem.groups) for p in positions
    }
    for position, (mask, point) in enumerate(zip(masks, points, strict=True)):
        if (bound := bounds[position]) is None:
            return torch.zeros(len(points), dtype=torch.bool, device=problem.device)
        exceeds = point.abs() > bound.to(point.device, point.dtype)
        above.append(torch.count_nonzero(exceeds & ~mask).to(problem.device))
        kept.append(torch.count_nonzero(mask).to(problem.device))
    counts = torch.stack([torch.stack(above), torch.stack(kept)]).double()
    if problem.world.ranks > 1:
        counts = problem.world.sum(counts)
    return counts[0] > (tolerance * counts[1]).clamp(min=1)


def _largest(mask: Tensor, point: Tensor) -> Tensor:
    """Largest magnitude where `mask` is False, 0-dim; 0 where there is none."""
    if not point.numel():
        return point.new_zeros(())
    low, high = only(~mask, point).aminmax()
    return torch.maximum(-low, high)
