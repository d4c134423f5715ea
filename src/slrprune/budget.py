"""How a global budget is shared out: which entries stay when k entries of several tensors may stay.

`Magnitude` lets the entries of all tensors compete; `LAMP` rescales them first; `ERK` and `Uniform` look at the shapes.
Every allocation keeps exactly k entries, and at least one of every tensor, since a layer of zeros cuts the network.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from slrprune.distributed.slices import Slice
from slrprune.errors import ArgumentError, UsageError, suggestion
from slrprune.sets.claims import Claim, Ranked
from slrprune.sets.topk import top_k


class Allocation(ABC):
    """A way to choose which `kept` entries of several tensors stay."""

    @abstractmethod
    def select(self, weights: Sequence[Tensor], kept: int) -> list[Tensor]:
        """Masks with exactly `kept` True in all, and at least one in every tensor that has entries.

        Args:
            weights: floating tensors of any shape.
            kept: from the number of non-empty tensors to the total number of entries.
        """

    def check_slices(self, name: str, ranks: int) -> None:
        """Raises `UsageError` where the allocation must see a whole tensor; see `ConstraintSet.check_slices`."""
        problem = f"the allocation {self!r} is not available for weights cut over {ranks} ranks"
        raise UsageError(name, problem, "Use 'magnitude', 'erk' or 'uniform'.")

    def claims(self, slices: Sequence[Slice], kept: int) -> list[Claim]:
        """What `select` would decide; see `ConstraintSet.claims`."""
        raise UsageError(repr(self), "is not available for weights cut over several ranks")


@dataclass(frozen=True)
class Magnitude(Allocation):
    """The largest magnitudes of all tensors together, with a floor per tensor.

    S = {W : ||W||_0 <= k}, intersected with the condition that the support takes at least f_l entries of tensor l, for
    f_l = max(1, round(floor * density * numel_l)). This is the only allocation that is itself a nearest-point
    projection (equation 4).

    Why the greedy choice is exact: the nearest point keeps a support T of k entries that maximises the sum of squares
    kept. Exchanging an entry of tensor l in T for a larger one of l outside never loses and keeps the counts, so T may
    be taken to hold the f_l largest entries of every l. Given those, the other k - sum f_l places are free, and the
    largest of the remaining entries fill them best.

    Args:
        floor: fraction of its even share that every tensor keeps, in [0, 1]; 0 asks for one entry, 1 is `Uniform` up to
            rounding.

    Raises:
        ArgumentError: floor outside [0, 1].
    """

    floor: float = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.floor <= 1:
            raise ArgumentError("Magnitude", "floor", self.floor, "must be in [0, 1]")

    def floors(self, numels: Sequence[int], kept: int) -> list[int]:
        """How many entries each tensor keeps at least; their sum never exceeds `kept`."""
        total = sum(numels)
        wanted = [min(n, max(1, round(self.floor * kept * n / total))) if n else 0 for n in numels]
        return wanted if sum(wanted) <= kept else share(kept, [kept * n / total for n in numels], numels)

    def select(self, weights: Sequence[Tensor], kept: int) -> list[Tensor]:
        """The masks: floors first, then the largest of the rest."""
        floors = self.floors([w.numel() for w in weights], kept)
        if all(_is_cpu(w) for w in weights):
            # On the CPU reading counts is free, and as a rule no floor binds: then one selection is all.
            masks = top_k(weights, kept)
            if all(np.count_nonzero(m.numpy()) >= f for m, f in zip(masks, floors, strict=True)):
                return masks
        reserved = [top_k([w], f)[0] for w, f in zip(weights, floors, strict=True)]
        return top_k([w.abs().masked_fill(r, math.inf) for w, r in zip(weights, reserved, strict=True)], kept)

    def check_slices(self, name: str, ranks: int) -> None:
        """Every slice will do."""

    def claims(self, slices: Sequence[Slice], kept: int) -> list[Claim]:
        """One competition, with floors."""
        numels = [part.numel for part in slices]
        floors = tuple(self.floors(numels, kept))
        return [Ranked([part.tensor for part in slices], kept, sum(numels), floors)]


def _is_cpu(weight: Tensor) -> bool:
    return weight.device.type == "cpu"


@dataclass(frozen=True)
class LAMP(Allocation):
    """Layer-adaptive magnitudes: every squared weight over the sum of those of its tensor that are not smaller.

    score(u) = W[u]^2 / sum_{W[v]^2 >= W[u]^2} W[v]^2, v over the tensor of u; equal magnitudes in order of index, the
    lowest as the largest. The k largest scores of all tensors stay. Scores fall with the magnitude inside a tensor, so
    they only fix the counts: given them the projection is exact. The largest entry of a tensor has score 1. One sort
    per tensor.

    Reference:
        J. Lee, S. Park, S. Mo, S. Ahn, J. Shin, "Layer-adaptive sparsity for the magnitude-based pruning", ICLR 2021,
        equation 1.
    """

    def select(self, weights: Sequence[Tensor], kept: int) -> list[Tensor]:
        """The masks: the k largest scores decide how many of each sorted tensor stay."""
        orders, scores = zip(*(_lamp_scores(w) for w in weights), strict=True)
        masks = []
        for weight, order, chosen in zip(weights, orders, top_k(scores, kept), strict=True):
            # Counted, then refilled from the top: rounding in the scores cannot make a hole.
            head = torch.arange(order.numel(), device=order.device) < chosen.sum()
            mask = torch.empty_like(head).scatter_(0, order, head)
            masks.append(mask.view(weight.shape))
        return masks


def _lamp_scores(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Indices by falling magnitude, and the square root of the LAMP score of each.

    The root keeps the order, and together with the division by the maximum it keeps small weights from underflowing.
    """
    precise = torch.promote_types(weight.dtype, torch.float32)
    magnitude, order = weight.reshape(-1).abs().to(precise).sort(descending=True, stable=True)
    if not magnitude.numel():
        return order, magnitude
    tiny = torch.finfo(precise).tiny
    ratio = magnitude / magnitude[0].clamp_min(tiny)
    score = ratio / ratio.square().cumsum(0).clamp_min(tiny).sqrt()
    score[0] = 1.0  # also in a tensor of zeros, which so keeps an entry
    return order, score


class Counted(Allocation):
    """An allocation that fixes the count of every tensor from the shapes alone."""

    @abstractmethod
    def shares(self, shapes: tuple[tuple[int, ...], ...], kept: int) -> list[float]:
        """The real-valued share of each tensor; their sum is `kept`."""

    def counts(self, shapes: tuple[tuple[int, ...], ...], kept: int) -> list[int]:
        """How many entries of each tensor stay; their sum is `kept`."""
        return share(kept, self.shares(shapes, kept), [math.prod(shape) for shape in shapes])

    def select(self, weights: Sequence[Tensor], kept: int) -> list[Tensor]:
        """The masks: per tensor the largest magnitudes."""
        counts = _cached_counts(self, tuple(tuple(w.shape) for w in weights), kept)
        return [top_k([w], count)[0] for w, count in zip(weights, counts, strict=True)]

    def check_slices(self, name: str, ranks: int) -> None:
        """Every slice will do: the counts follow from the shapes."""

    def claims(self, slices: Sequence[Slice], kept: int) -> list[Claim]:
        """One competition per tensor."""
        counts = _cached_counts(self, tuple(part.shape for part in slices), kept)
        return [Ranked([part.tensor], count, part.numel) for part, count in zip(slices, counts, strict=True)]


@lru_cache(maxsize=64)
def _cached_counts(allocation: Counted, shapes: tuple[tuple[int, ...], ...], kept: int) -> tuple[int, ...]:
    return tuple(allocation.counts(shapes, kept))


@dataclass(frozen=True)
class Uniform(Counted):
    """The same density in every tensor, up to rounding."""

    def shares(self, shapes: tuple[tuple[int, ...], ...], kept: int) -> list[float]:
        """kept * numel_l / numel."""
        numels = [math.prod(shape) for shape in shapes]
        return [kept * n / max(1, sum(numels)) for n in numels]


@dataclass(frozen=True)
class ERK(Counted):
    """Erdos-Renyi-Kernel densities: proportional to the sum of a tensor's sizes over their product.

    density_l = min(1, e * sum(shape_l) / prod(shape_l)); the factor e makes the counts sum to k. A tensor that would
    exceed density 1 stays dense, and its surplus goes to the others, until none exceeds it.

    Reference:
        U. Evci, T. Gale, J. Menick, P. S. Castro, E. Elsen, "Rigging the lottery", ICML 2020, section 3.
    """

    def shares(self, shapes: tuple[tuple[int, ...], ...], kept: int) -> list[float]:
        """e * sum(shape_l), or numel_l where that is less."""
        numels = [math.prod(shape) for shape in shapes]
        raw = [float(sum(shape) or 1) if n else 0.0 for shape, n in zip(shapes, numels, strict=True)]
        return clipped(kept, raw, numels)


_NAMES: dict[str, type[Allocation]] = {"magnitude": Magnitude, "lamp": LAMP, "erk": ERK, "uniform": Uniform}


def resolve(wanted: Allocation | str, floor: float | None) -> Allocation:
    """The allocation that `Global(allocation=wanted, floor=floor)` asks for.

    Raises:
        ArgumentError: a name that is not known, or a floor for another one than 'magnitude'.
    """
    if floor is not None:
        if wanted != "magnitude":
            way_out = "Or write allocation=Magnitude(floor=...)."
            raise ArgumentError("Global", "floor", floor, "must go with allocation='magnitude'", way_out)
        return Magnitude(floor)
    if isinstance(wanted, Allocation):
        return wanted
    if wanted not in _NAMES:
        way_out = suggestion(str(wanted), _NAMES, "Did you mean {!r}?")
        raise ArgumentError("Global", "allocation", wanted, f"must be one of {list(_NAMES)}", way_out)
    return _NAMES[wanted]()


def clipped(total: float, weights: Sequence[float], capacities: Sequence[int]) -> list[float]:
    """Shares of `total` in proportion to `weights`, each at most its capacity; the surplus goes to the others."""
    full: list[bool] = [False] * len(weights)
    while True:
        rest = total - sum(c for c, f in zip(capacities, full, strict=True) if f)
        free = sum(w for w, f in zip(weights, full, strict=True) if not f)
        factor = rest / free if free > 0 else 0.0
        over = [not f and factor * w > c for w, c, f in zip(weights, capacities, full, strict=True)]
        if not any(over):
            return [float(c) if f else factor * w for w, c, f in zip(weights, capacities, full, strict=True)]
        full = [f or o for f, o in zip(full, over, strict=True)]


def share(total: int, wanted: Sequence[float], capacities: Sequence[int]) -> list[int]:
    """Whole numbers near `wanted` that sum to `total`: each at least 1 and at most its capacity (0 where that is 0).

    Largest remainders: everyone gets the whole part, and what is left goes to the largest fractions, the first of equal
    ones. What the bounds take or free is spread in the same way.

    Args:
        total: from the number of non-zero capacities to the sum of the capacities.
        wanted: real shares, 0 or more, that sum to about `total`.
        capacities: the most that each can get.

    Examples:
        >>> share(10, [3.4, 3.3, 3.3], [100, 100, 100]), share(4, [3.9, 0.1, 0.0], [9, 9, 9])
        ([4, 3, 3], [2, 1, 1])
    """
    counts = [min(c, max(1, math.floor(w))) if c else 0 for w, c in zip(wanted, capacities, strict=True)]
    while missing := total - sum(counts):
        sign = 1 if missing > 0 else -1
        open_ = [
            i for i, (n, c) in enumerate(zip(counts, capacities, strict=True)) if (n < c if sign > 0 else n > min(c, 1))
        ]
        if not open_:
            raise ArgumentError("share", "total", total, f"must be reachable with capacities {list(capacities)}")
        # The furthest below (above) its wish moves first; one each per round, so that a round stays fair.
        open_.sort(key=lambda i: (sign * (counts[i] - wanted[i]), i))
        for i in open_[: abs(missing)]:
            counts[i] += sign
    return counts
