"""N:M sparsity: n of every m consecutive weights stay."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from slrprune.distributed.slices import Slice, refuse_straddling
from slrprune.errors import ArgumentError, ShapeError
from slrprune.sets.base import PerTensorSet, check_progress
from slrprune.sets.claims import Claim, Ranked, Settled
from slrprune.sets.groups import check_dim, resolve_dim, squares, swap_dim
from slrprune.sets.topk import top_k

_PAIRWISE = 16  # up to this m comparing all pairs beats a selection per group


@dataclass(frozen=True)
class NM(PerTensorSet):
    """The tensors with at most n non-zeros in every group of m consecutive entries along one dimension.

    S = {W : ||W_g||_0 <= n for every group g}; with `fraction` below 1, for at least round(fraction * groups) groups.

    The projection keeps the n largest magnitudes of every group (equation 4, group by group). With a fraction it does
    so in the groups that lose the least energy, sum of squares, by it, and leaves the others as they are: the nearest
    point, since the losses of the groups add up. m(m - 1)/2 comparisons per group, a selection where m is large.

    Args:
        n: entries that stay in a group, in [1, m]. `NM(2, 4)` keeps 2 of 4.
        m: size of a group.
        dim: of a weight of shape (out, in, *kernel): 1, the default, runs along the inputs. Negative ones count from
            the end.
        fraction: part of the groups that obey, in [0, 1]; `at` sets it.

    Raises:
        ArgumentError: n not in [1, m], a dim that is no whole number, a fraction outside [0, 1].
        ShapeError: a weight without the dimension, or whose size there is no multiple of m.

    Examples:
        >>> import torch
        >>> NM(2, 4).project(torch.tensor([[1.0, -4.0, 3.0, 2.0], [5.0, 5.0, 5.0, 0.0]]))
        tensor([[ 0., -4.,  3.,  0.],
                [ 5.,  5.,  0.,  0.]])

    Reference:
        A. Mishra et al., "Accelerating sparse deep neural networks", arXiv:2104.08378, section 3.
    """

    n: int
    m: int
    dim: int = 1
    fraction: float = 1.0

    groups_decide_alone: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for argument, value in (("n", self.n), ("m", self.m)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ArgumentError("NM", argument, value, "must be a whole number of at least 1")
        if self.n > self.m:
            way_out = "NM(n, m) keeps n of every m: NM(2, 4) keeps 2 of 4."
            raise ArgumentError("NM", "n", self.n, f"must be at most m={self.m}", way_out)
        check_dim("NM", self.dim)
        if not 0 <= self.fraction <= 1:
            raise ArgumentError("NM", "fraction", self.fraction, "must be in [0, 1]")

    def check(self, name: str, shape: Sequence[int]) -> None:
        """Raises `ShapeError` for a weight whose size along `dim` is no multiple of m."""
        along = resolve_dim(self.dim, len(shape))
        if along is None:
            rule = f"NM({self.n}, {self.m}) along dim {self.dim} needs that dimension"
            raise ShapeError(name, rule, shape, f"Use another dim, or leave {name} out.")
        if shape[along] % self.m:
            rule = f"NM({self.n}, {self.m}) needs shape[{self.dim}] divisible by {self.m}"
            fitting = [d for d, size in enumerate(shape) if size and size % self.m == 0]
            use = f"Use dim={fitting[0]}, or leave" if fitting else "Leave"
            raise ShapeError(name, rule, shape, f"{use} {name} out.")

    def at(self, progress: float) -> "NM":
        """The set that asks the pattern of the fraction `progress` of the groups."""
        return replace(self, fraction=check_progress("NM.at", progress) * self.fraction)

    def transposed(self) -> "NM":
        """The same groups of weights stored as (in, out, ...): dimensions 0 and 1 change places."""
        dim = swap_dim(self.dim)
        if dim is None:
            raise ArgumentError("NM", "dim", self.dim, "must count from 0 where weights are stored transposed")
        return replace(self, dim=dim)

    def select_one(self, weight: Tensor) -> Tensor:
        """The mask of the n largest of every group, or of every group that obeys."""
        if not weight.numel():
            return torch.ones_like(weight, dtype=torch.bool)
        members = self._members(weight)
        kept = _largest_of_group(members.abs(), self.n)
        if self.fraction < 1:
            losses = _losses(members, kept)
            kept |= top_k([losses], self._spared(losses.numel()))[0]
        return self._arranged(kept, weight)

    def thresholds(self, weight: Tensor, mask: Tensor) -> Tensor:
        """The largest magnitude that was cut in the group."""
        if not weight.numel():
            return torch.zeros_like(weight)
        # A product with bytes needs no branch for each entry, as `masked_fill_` does on CPUs. NaN was refused before.
        cut = self._members(weight.abs().mul_((~mask).view(torch.uint8)))
        return self._arranged(cut.amax(0, keepdim=True).expand_as(cut), weight)

    def check_slices(self, name: str, shape: tuple[int, ...], ranks: int) -> None:
        """Raises `ShapeError` where a group does not lie within one slice."""
        self.check(name, shape)
        if resolve_dim(self.dim, len(shape)) == 0:
            refuse_straddling(name, f"NM({self.n}, {self.m}) along dim 0", self.m, shape, ranks)

    def claim_one(self, part: Slice) -> Claim:
        """Every group decides for itself; with a fraction the groups compete for being spared."""
        weight = part.tensor
        if self.fraction == 1:
            return Settled([self.select_one(weight)])
        if not weight.numel():
            members, kept, losses = weight, torch.ones_like(weight, dtype=torch.bool), squares(weight).reshape(-1)
        else:
            members = self._members(weight)
            kept = _largest_of_group(members.abs(), self.n)
            losses = _losses(members, kept)

        def finish(masks: list[Tensor]) -> list[Tensor]:
            return [self._arranged(kept | masks[0], weight) if weight.numel() else kept]

        groups = part.numel // self.m
        return Ranked([losses], self._spared(groups), groups, finish=finish)

    def _spared(self, groups: int) -> int:
        """How many groups need not obey."""
        return groups - round(self.fraction * groups)

    def _members(self, weight: Tensor) -> Tensor:
        """A view with the members of each group along dimension 0: (m, groups...)."""
        grouped: Tensor = weight.unflatten(self.dim, (-1, self.m))
        return grouped.movedim(self._inside, 0)

    def _arranged(self, members: Tensor, weight: Tensor) -> Tensor:
        """The opposite of `_members`."""
        return members.movedim(0, self._inside).reshape(weight.shape).contiguous()

    @property
    def _inside(self) -> int:
        return self.dim + 1 if self.dim >= 0 else self.dim


def _losses(members: Tensor, kept: Tensor) -> Tensor:
    """What obeying takes from each group."""
    return squares(members).masked_fill_(kept, 0).sum(0)


def _largest_of_group(magnitudes: Tensor, n: int) -> Tensor:
    """Mask of the n largest along dimension 0, the first of equal ones; the shape of `magnitudes`."""
    m = len(magnitudes)
    if n == m:
        return torch.ones_like(magnitudes, dtype=torch.bool, memory_format=torch.contiguous_format)
    if m <= _PAIRWISE:
        return _ranks(magnitudes.contiguous()) < n
    threshold = magnitudes.topk(n, dim=0, sorted=False).values.amin(0)
    above, ties = magnitudes > threshold, magnitudes == threshold
    needed = n - above.sum(0, dtype=torch.int32)
    return above | (ties & (ties.cumsum(0, dtype=torch.int32) <= needed))


def _ranks(magnitudes: Tensor) -> Tensor:
    """How many of the group come before each entry: larger ones, and equal ones with a lower index."""
    m = len(magnitudes)
    ranks = torch.arange(m - 1, -1, -1, dtype=torch.uint8, device=magnitudes.device)
    ranks = ranks.view(-1, *[1] * (magnitudes.ndim - 1)).repeat(1, *magnitudes.shape[1:])
    for i in range(m - 1):
        # Row i against all later ones at once: who wins or draws comes first.
        wins = (magnitudes[i] >= magnitudes[i + 1 :]).view(torch.uint8)
        ranks[i + 1 :] += wins
        ranks[i] -= wins.sum(0, dtype=torch.uint8)
    return ranks
