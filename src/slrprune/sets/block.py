"""Blocks of fixed shape, such as 4 output channels that share their zeros."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from slrprune.distributed.slices import Slice, refuse_straddling
from slrprune.errors import ArgumentError, ShapeError
from slrprune.sets.base import PerTensorSet, check_progress, check_sparsity
from slrprune.sets.claims import Claim
from slrprune.sets.groups import claim_strongest, group_energies, keep_strongest


@dataclass(frozen=True)
class Block(PerTensorSet):
    """The tensors in which at most a given number of the blocks of a regular grid is not zero.

    S = {W : #{b : W[b] != 0} <= k}, b over the blocks, k = blocks - round(sparsity * blocks), at least 1.

    The projection keeps the k blocks of greatest sum of squares and clears the others (equation 5); one pass.

    Args:
        shape: size of a block in the leading dimensions of the weight (out, in, *kernel); dimensions not named count 1.
            `(4, 1)` is 4 output channels by 1 input channel at every kernel position, the layout that lets a vector
            unit compute 4 outputs from one value read; `(1, 4)` shares zeros among input channels; `(4, 1, 3, 3)` takes
            whole 3 x 3 kernels of 4 filters.
        sparsity: fraction of the blocks that go, in [0, 1).

    Raises:
        ArgumentError: sparsity outside [0, 1), a shape that is not made of whole numbers from 1.
        ShapeError: a weight with fewer dimensions than the block, or that the blocks do not fill evenly.

    Examples:
        >>> import torch
        >>> Block((2, 1), 0.5).project(torch.tensor([[1.0, 2.0], [0.0, 3.0]]))
        tensor([[0., 2.],
                [0., 3.]])

    Reference:
        S. Narang, E. Undersander, G. Diamos, "Block-sparse recurrent neural networks", 2017, section 3.
    """

    shape: tuple[int, ...]
    sparsity: float

    def __post_init__(self) -> None:
        check_sparsity("Block", self.sparsity)
        if (
            not isinstance(self.shape, Sequence)
            or not self.shape
            or not all(isinstance(size, int) and size >= 1 for size in self.shape)
        ):
            raise ArgumentError("Block", "shape", self.shape, "must be whole numbers of at least 1, as in (4, 1)")
        object.__setattr__(self, "shape", tuple(self.shape))

    def check(self, name: str, shape: Sequence[int]) -> None:
        """Raises `ShapeError` for a weight that the blocks do not fill evenly."""
        way_out = f"Use another block, or leave {name} out."
        if len(self.shape) > len(shape):
            rule = f"Block({self.shape}) needs at least {len(self.shape)} dimensions"
            raise ShapeError(name, rule, shape, way_out)
        for dim, (size, block) in enumerate(zip(shape, self.shape, strict=False)):
            if size % block:
                raise ShapeError(name, f"Block({self.shape}) needs shape[{dim}] divisible by {block}", shape, way_out)

    def at(self, progress: float) -> "Block":
        """The set with the fraction `progress` of the sparsity."""
        return replace(self, sparsity=check_progress("Block.at", progress) * self.sparsity)

    def transposed(self) -> "Block":
        """The same blocks of weights stored as (in, out, ...): the first two sizes change places."""
        outputs, inputs, *kernel = (*self.shape, 1) if len(self.shape) == 1 else self.shape
        return replace(self, shape=(inputs, outputs, *kernel))

    def select_one(self, weight: Tensor) -> Tensor:
        """The mask of the strongest blocks."""
        return keep_strongest(weight, *self._grid(weight.shape), self.sparsity)

    def strengths(self, weight: Tensor) -> Tensor | None:
        """The norms of the blocks."""
        grid, dims = self._grid(weight.shape)
        norms = group_energies(weight, grid, dims).sqrt().to(weight.dtype)  # in double precision, as the choice is made
        return norms.expand(grid).reshape(weight.shape).clone()

    def check_slices(self, name: str, shape: tuple[int, ...], ranks: int) -> None:
        """Raises `ShapeError` where a block does not lie within one slice."""
        self.check(name, shape)
        refuse_straddling(name, f"Block({self.shape})", self.shape[0], shape, ranks)

    def claim_one(self, part: Slice) -> Claim:
        """The blocks compete."""
        return claim_strongest(part, *self._grid(part.shape), self.sparsity)

    def _grid(self, shape: Sequence[int]) -> tuple[list[int], tuple[int, ...]]:
        """A view of the weight, and its dimensions inside a block."""
        blocks = self.shape + (1,) * (len(shape) - len(self.shape))
        grid = [part for size, block in zip(shape, blocks, strict=True) for part in (size // block, block)]
        return grid, tuple(2 * dim + 1 for dim, block in enumerate(blocks) if block > 1)
