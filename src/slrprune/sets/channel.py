"""Whole channels: filters or neurons, or what they read."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from slrprune.distributed.slices import Slice
from slrprune.errors import ArgumentError, ShapeError
from slrprune.sets.base import PerTensorSet, check_progress, check_sparsity
from slrprune.sets.claims import Claim
from slrprune.sets.groups import check_dim, claim_strongest, keep_strongest, resolve_dim, swap_dim


@dataclass(frozen=True)
class Channel(PerTensorSet):
    """The tensors in which at most a given number of slices along one dimension is not zero.

    S = {W : #{c : W[c] != 0} <= k}, W[c] the slices along `dim`, k = slices - round(sparsity * slices), at least 1.

    The projection keeps the k slices of greatest sum of squares and clears the others (equation 5); one pass.

    Args:
        sparsity: fraction of the channels that go, in [0, 1).
        dim: of a weight of shape (out, in, *kernel): 0, the default, for filters or neurons, 1 for input channels.
            Negative ones count from the end.

    Raises:
        ArgumentError: sparsity outside [0, 1), a dim that is no whole number.
        ShapeError: a weight without the dimension.

    Examples:
        >>> import torch
        >>> Channel(0.5).project(torch.tensor([[1.0, 2.0], [0.0, 3.0]]))
        tensor([[0., 0.],
                [0., 3.]])

    Reference:
        H. Li, A. Kadav, I. Durdanovic, H. Samet, H. P. Graf, "Pruning filters for efficient ConvNets", ICLR 2017; with
        the sum of squares in place of magnitudes, which makes it the nearest point.
    """

    sparsity: float
    dim: int = 0

    def __post_init__(self) -> None:
        check_sparsity("Channel", self.sparsity)
        check_dim("Channel", self.dim)

    def check(self, name: str, shape: Sequence[int]) -> None:
        """Raises `ShapeError` for a weight without the dimension."""
        if resolve_dim(self.dim, len(shape)) is None:
            raise ShapeError(name, f"Channel along dim {self.dim} needs that dimension", shape, f"Leave {name} out.")

    def at(self, progress: float) -> "Channel":
        """The set with the fraction `progress` of the sparsity."""
        return replace(self, sparsity=check_progress("Channel.at", progress) * self.sparsity)

    def removes_whole(self, dim: int, ndim: int) -> bool:
        """Along its own dimension."""
        return resolve_dim(self.dim, ndim) == dim

    def transposed(self) -> "Channel":
        """The same channels of weights stored as (in, out, ...): dimensions 0 and 1 change places."""
        dim = swap_dim(self.dim)
        if dim is None:
            raise ArgumentError("Channel", "dim", self.dim, "must count from 0 where weights are stored transposed")
        return replace(self, dim=dim)

    def select_one(self, weight: Tensor) -> Tensor:
        """The mask of the strongest channels."""
        return keep_strongest(weight, weight.shape, self._others(weight.ndim), self.sparsity)

    def check_slices(self, name: str, shape: tuple[int, ...], ranks: int) -> None:
        """Every slice will do: channels along dimension 0 lie in one, the energies of others are summed."""
        self.check(name, shape)

    def claim_one(self, part: Slice) -> Claim:
        """The channels compete."""
        return claim_strongest(part, part.shape, self._others(len(part.shape)), self.sparsity)

    def _others(self, ndim: int) -> tuple[int, ...]:
        along = resolve_dim(self.dim, ndim)
        return tuple(d for d in range(ndim) if d != along)
