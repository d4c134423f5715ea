"""Two sets at once, where the nearest point is known."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from slrprune.distributed.slices import Slice
from slrprune.errors import ArgumentError
from slrprune.sets.base import ConstraintSet, PerTensorSet, check_progress
from slrprune.sets.block import Block
from slrprune.sets.channel import Channel
from slrprune.sets.claims import Claim, Settled
from slrprune.sets.column import Column
from slrprune.sets.nm import NM
from slrprune.sets.pattern import KernelPattern
from slrprune.sets.unstructured import Unstructured


@dataclass(frozen=True)
class Intersection(PerTensorSet):
    """The tensors in `outer` and in `inner`, for a pair whose exact projection is known. `outer & inner` makes it.

    S = outer and inner, where `outer` keeps k of certain units (channels, columns) and `inner` constrains every unit by
    itself: its groups (of N:M, or kernels) lie within one unit each and do not compete.

    The projection is `inner`'s first, then `outer`'s of the result: what is best inside a unit does not depend on which
    units stay, so the best k units are those with the most energy after `inner` (equation 5).

    Args:
        outer: `Channel`, or `Column` over `NM`.
        inner: `NM` or `KernelPattern` without connectivity, whole (fraction 1).

    Raises:
        ArgumentError: any other pair, with the reason.

    Examples:
        >>> import torch
        >>> (Channel(0.5) & NM(1, 2)).project(torch.tensor([[3.0, 3.0], [0.0, 4.0]]))
        tensor([[0., 0.],
                [0., 4.]])

    Reference:
        This library: a sum of independent problems inside a choice of k.
    """

    outer: PerTensorSet
    inner: PerTensorSet

    def __post_init__(self) -> None:
        reason = _why_not(self.outer, self.inner)
        if reason:
            owner = f"{type(self.outer).__name__} & {type(self.inner).__name__}"
            way_out = "Known: Channel & NM, Channel & KernelPattern, Column & NM, and two nested sets of one class."
            raise ArgumentError("Intersection", owner, (self.outer, self.inner), reason, way_out)

    def check(self, name: str, shape: Sequence[int]) -> None:
        """Raises `ShapeError` where one of the two does."""
        self.outer.check(name, shape)
        self.inner.check(name, shape)

    def at(self, progress: float) -> ConstraintSet:
        """The looser set on the way: up to 1/2 only `inner`, growing; then all of it, and `outer` grows.

        One after the other, because a part of the groups of `inner` would compete across the units of `outer`.
        """
        if check_progress("Intersection.at", progress) <= 0.5:
            return self.inner.at(2 * progress)
        outer = self.outer.at(2 * progress - 1)
        assert isinstance(outer, PerTensorSet)
        return Intersection(outer, self.inner)

    def removes_whole(self, dim: int, ndim: int) -> bool:
        """Where `outer` does: `inner` leaves something of every unit."""
        return self.outer.removes_whole(dim, ndim)

    def transposed(self) -> "Intersection":
        """Both sets for weights stored as (in, out, ...)."""
        outer, inner = self.outer.transposed(), self.inner.transposed()
        assert isinstance(outer, PerTensorSet)
        assert isinstance(inner, PerTensorSet)
        return Intersection(outer, inner)

    def select_one(self, weight: Tensor) -> Tensor:
        """The mask of `inner`, less the units that `outer` clears."""
        mask = self.inner.select_one(weight)
        return mask & self.outer.select_one(torch.where(mask, weight, 0))

    def check_slices(self, name: str, shape: tuple[int, ...], ranks: int) -> None:
        """Raises where one of the two does."""
        self.outer.check_slices(name, shape, ranks)
        self.inner.check_slices(name, shape, ranks)

    def claim_one(self, part: Slice) -> Claim:
        """The units compete with what `inner`, which needs no other rank, leaves of them."""
        mask = self.inner.select_one(part.tensor)
        claim = self.outer.claim_one(Slice(torch.where(mask, part.tensor, 0), part.shape))
        assert not isinstance(claim, Settled)  # channels and columns always compete

        def finish(masks: list[Tensor]) -> list[Tensor]:
            return [mask & units for units in claim.finish(masks)]

        return replace(claim, finish=finish)


def intersect(first: ConstraintSet, second: ConstraintSet) -> ConstraintSet:
    """What `first & second` gives: the tighter of two nested sets, or an `Intersection`; the order does not matter.

    Raises:
        ArgumentError: a pair whose nearest point is not known, with the reason.
    """
    tighter = _tighter(first, second)
    if tighter is not None:
        return tighter
    outer, inner = (second, first) if isinstance(second, _UNITS) and not isinstance(first, _UNITS) else (first, second)
    return Intersection(outer, inner)  # type: ignore[arg-type]  # the constructor refuses what is not known


_UNITS = (Channel, Column)

_LEVELS: dict[type[ConstraintSet], tuple[str, int]] = {
    Unstructured: ("sparsity", 1),
    Channel: ("sparsity", 1),
    Column: ("sparsity", 1),
    Block: ("sparsity", 1),
    KernelPattern: ("connectivity", 1),
    NM: ("n", -1),
}
"""The field that says how tight a set is, and the sign that makes greater tighter."""


def _tighter(first: ConstraintSet, second: ConstraintSet) -> ConstraintSet | None:
    """The smaller of two sets that differ in their level only; None for any others."""
    if type(first) is not type(second) or type(first) not in _LEVELS:
        return None
    field, sign = _LEVELS[type(first)]
    levels = getattr(first, field), getattr(second, field)
    if replace(first, **{field: levels[1]}) != second:  # type: ignore[type-var]  # all classes in the table are dataclasses
        return None
    return first if sign * levels[0] >= sign * levels[1] else second


def _why_not(outer: ConstraintSet, inner: ConstraintSet) -> str:
    """Why the pair has no known projection; empty where it has one."""
    if outer.is_joint or inner.is_joint:
        return "has a budget that several tensors share, and it cannot see what the other set takes from it"
    if type(outer) is type(inner):
        return "are two sets of one class that are not nested, or of which & returns the tighter one"
    if not isinstance(outer, _UNITS) or not isinstance(inner, (NM, KernelPattern)):
        return "compete for the same entries: the best choice of one depends on that of the other"
    if inner.fraction < 1 or (isinstance(inner, KernelPattern) and inner.connectivity):
        return "count over the whole tensor on both sides: the best choice of one depends on that of the other"
    if isinstance(inner, KernelPattern):
        lies_inside = isinstance(outer, Channel) and outer.dim in (0, 1)
    elif isinstance(outer, Column):
        lies_inside = outer.dim == inner.dim
    else:
        lies_inside = outer.dim != inner.dim and min(outer.dim, inner.dim) >= 0
    return (
        "" if lies_inside else "do not nest: a group of the second must lie within one unit of the first (dims from 0)"
    )
