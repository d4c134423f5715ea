"""Columns of the im2col matrix: one input position for all filters."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from slrprune.distributed.slices import Slice
from slrprune.errors import ArgumentError, ShapeError
from slrprune.sets.base import PerTensorSet, check_progress, check_sparsity
from slrprune.sets.claims import Claim
from slrprune.sets.groups import check_dim, claim_strongest, keep_strongest


@dataclass(frozen=True)
class Column(PerTensorSet):
    """The tensors in which at most a given number of columns is not zero.

    A column of a weight of shape (out, in, *kernel) is what all filters have at one position (in, *kernel): a column of
    the matrix with which im2col multiplies the patches. In a linear layer it is an input feature.
    S = {W : #{j : W[:, j] != 0} <= k}, k = columns - round(sparsity * columns), at least 1.

    The projection keeps the k columns of greatest sum of squares and clears the others (equation 5); one pass.

    Args:
        sparsity: fraction of the columns that go, in [0, 1).
        dim: the dimension that runs along a column, the one of the outputs: 0, or 1 for weights stored as
            (in, out, *kernel).

    Raises:
        ArgumentError: sparsity outside [0, 1), a dim that is neither 0 nor 1.
        ShapeError: a weight of fewer than 2 dimensions.

    Examples:
        >>> import torch
        >>> Column(0.5).project(torch.tensor([[1.0, 2.0], [0.0, 3.0]]))
        tensor([[0., 2.],
                [0., 3.]])

    Reference:
        W. Wen, C. Wu, Y. Wang, Y. Chen, H. Li, "Learning structured sparsity in deep neural networks", NeurIPS 2016,
        section 3.2.
    """

    sparsity: float
    dim: int = 0

    def __post_init__(self) -> None:
        check_sparsity("Column", self.sparsity)
        check_dim("Column", self.dim)
        if self.dim not in (0, 1):
            raise ArgumentError("Column", "dim", self.dim, "must be 0 or 1, the dimension of the outputs")

    def check(self, name: str, shape: Sequence[int]) -> None:
        """Raises `ShapeError` for a weight of fewer than 2 dimensions."""
        if len(shape) < 2:
            raise ShapeError(name, "Column needs a weight of at least 2 dimensions", shape, f"Leave {name} out.")

    def at(self, progress: float) -> "Column":
        """The set with the fraction `progress` of the sparsity."""
        return replace(self, sparsity=check_progress("Column.at", progress) * self.sparsity)

    def transposed(self) -> "Column":
        """The same columns of weights stored as (in, out, ...)."""
        return replace(self, dim=1 - self.dim)

    def select_one(self, weight: Tensor) -> Tensor:
        """The mask of the strongest columns."""
        return keep_strongest(weight, weight.shape, (self.dim,), self.sparsity)

    def check_slices(self, name: str, shape: tuple[int, ...], ranks: int) -> None:
        """Every slice will do: where columns reach over all slices, their energies are summed."""
        self.check(name, shape)

    def claim_one(self, part: Slice) -> Claim:
        """The columns compete."""
        return claim_strongest(part, part.shape, (self.dim,), self.sparsity)
