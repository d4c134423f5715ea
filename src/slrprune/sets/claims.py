"""How sets decide together: each says what it needs of the other ranks, and all needs are met at once.

A set that is asked for masks of slices answers with claims. Claims of all sets are decided in one go, so that a model
of many layers costs the same few collective calls as one of few.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from slrprune.distributed.world import World
from slrprune.sets.ranking import Bag, batches, common_dtype, largest
from slrprune.sets.topk import top_k

Finish = Callable[[list[Tensor]], list[Tensor]]


def _as_it_is(masks: list[Tensor]) -> list[Tensor]:
    return masks


@dataclass(frozen=True, eq=False)
class Settled:
    """Groups lie within this rank's rows and do not compete: nothing to ask.

    Attributes:
        masks: of the slices.
    """

    masks: list[Tensor]


@dataclass(frozen=True, eq=False)
class Ranked:
    """Entries or groups of entries, each held by one rank, compete for `kept` places over all ranks.

    Attributes:
        scores: this rank's, one tensor per slice; signs do not count.
        kept: places.
        numel: competitors over all ranks.
        floors: places that each tensor has for its own in any case; empty where there are none.
        finish: makes masks of the slices out of masks of the scores.
    """

    scores: list[Tensor]
    kept: int
    numel: int
    floors: tuple[int, ...] = ()
    finish: Finish = field(default=_as_it_is)


@dataclass(frozen=True, eq=False)
class Summed:
    """Groups reach over all ranks: their scores are sums over the ranks, and then each rank makes the same choice.

    Attributes:
        scores: this rank's part of them, of one shape on all ranks.
        kept: places.
        finish: makes the mask of the slice out of the mask of the scores.
    """

    scores: Tensor
    kept: int
    finish: Finish


Claim = Settled | Ranked | Summed


def decide(claims: Sequence[Claim], world: World) -> list[list[Tensor]]:
    """Masks for each claim. Every rank passes the same claims, with its own parts; all leave with one decision."""
    found: dict[int, list[Tensor]] = {}
    summed = [(position, claim) for position, claim in enumerate(claims) if isinstance(claim, Summed)]
    ranked = [(position, claim) for position, claim in enumerate(claims) if isinstance(claim, Ranked)]
    for (position, claim), mask in zip(summed, _decide_summed([claim for _, claim in summed], world), strict=True):
        found[position] = claim.finish([mask])
    for (position, rank), masks in zip(ranked, _decide_ranked([claim for _, claim in ranked], world), strict=True):
        found[position] = rank.finish(masks)
    return [claim.masks if isinstance(claim, Settled) else found[position] for position, claim in enumerate(claims)]


def _decide_summed(claims: Sequence[Summed], world: World) -> list[Tensor]:
    if not claims:
        return []
    flat = world.sum(torch.cat([claim.scores.reshape(-1) for claim in claims]))
    parts = flat.split([claim.scores.numel() for claim in claims])
    return [top_k([p.view(c.scores.shape)], c.kept)[0] for p, c in zip(parts, claims, strict=True)]


def _decide_ranked(claims: Sequence[Ranked], world: World) -> list[list[Tensor]]:
    """First without floors; where one binds, again: the floors first, then the largest of the rest."""
    found: list[list[Tensor]] = [
        [torch.full(s.shape, claim.kept > 0, dtype=torch.bool, device=s.device) for s in claim.scores]
        for claim in claims
    ]
    asking = [position for position, claim in enumerate(claims) if 0 < claim.kept < claim.numel]
    at_once = [position for position in asking if not claims[position].floors or _reads_freely(claims[position])]
    bound = [position for position in asking if position not in at_once]
    for position, (masks, counts) in zip(at_once, _largest([_bag(claims[p]) for p in at_once], world), strict=True):
        found[position] = masks
        floors = claims[position].floors
        if floors and any(n < floor for n, floor in zip(counts.tolist(), floors, strict=True)):
            bound.append(position)
    if bound:
        bags = [_above_floors(claim, reserved) for claim, reserved in _reserved([claims[p] for p in bound], world)]
        for position, (masks, _) in zip(bound, _largest(bags, world), strict=True):
            found[position] = masks
    return found


def _reads_freely(claim: Ranked) -> bool:
    """On the CPU reading counts is free, and as a rule no floor binds; on accelerators floors always come first."""
    return claim.scores[0].device.type == "cpu"


def _bag(claim: Ranked) -> Bag:
    return Bag(claim.scores, claim.kept)


def _reserved(claims: Sequence[Ranked], world: World) -> list[tuple[Ranked, list[Tensor]]]:
    """For each claim the places that its floors take."""
    pairs = [(s, floor) for claim in claims for s, floor in zip(claim.scores, claim.floors, strict=True)]
    masks = iter(_largest([Bag([score.to(common_dtype([score])).abs()], floor) for score, floor in pairs], world))
    return [(claim, [next(masks)[0][0] for _ in claim.scores]) for claim in claims]


def _above_floors(claim: Ranked, reserved: Sequence[Tensor]) -> Bag:
    lifted = [s.abs().masked_fill(mask, torch.inf) for s, mask in zip(claim.scores, reserved, strict=True)]
    return Bag(lifted, claim.kept)


def _largest(bags: Sequence[Bag], world: World) -> list[tuple[list[Tensor], Tensor]]:
    """Masks and counts per bag; bags of different dtypes need a selection of their own."""
    found: dict[int, tuple[list[Tensor], Tensor]] = {}
    for positions, batch in batches(bags):
        for position, ranking in zip(positions, largest(batch, world), strict=True):
            found[position] = ranking.masks, ranking.counts
    return [found[position] for position in range(len(bags))]
