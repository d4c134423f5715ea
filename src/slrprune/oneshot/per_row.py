"""Single weights, row by row: every output keeps the same number of inputs."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from slrprune.sets.base import PerTensorSet, check_progress, check_sparsity, kept_count
from slrprune.sets.nm import NM


@dataclass(frozen=True)
class PerRow(PerTensorSet):
    """The tensors with at most k non-zeros in each row, k the same fraction of every row.

    A row is what one output reads: W[o] for a weight of shape (out, in, *kernel). S = {W : ||W[o]||_0 <= k for all o}
    with k = row - round(sparsity * row), at least 1.

    The projection keeps the k largest magnitudes of every row (equation 4, row by row).

    Args:
        sparsity: fraction of zeros in every row, in [0, 1).
        dim: the dimension of the outputs: 0, or 1 for weights stored as (in, out).

    Raises:
        ArgumentError: sparsity outside [0, 1).

    Examples:
        >>> PerRow(0.5).project(torch.tensor([[3.0, -1.0], [8.0, -9.0]]))
        tensor([[ 3.,  0.],
                [ 0., -9.]])

    Reference:
        M. Sun, Z. Liu, A. Bair, J. Z. Kolter, "A simple and effective pruning approach for large language models", ICLR
        2024, section 3: the comparison group of Wanda.
    """

    sparsity: float
    dim: int = 0

    def __post_init__(self) -> None:
        check_sparsity("PerRow", self.sparsity)

    def at(self, progress: float) -> "PerRow":
        """The set with the fraction `progress` of the sparsity."""
        return replace(self, sparsity=check_progress("PerRow.at", progress) * self.sparsity)

    def transposed(self) -> "PerRow":
        """The same rows of weights stored as (in, out, ...)."""
        return replace(self, dim=1 - self.dim)

    def select_one(self, weight: Tensor) -> Tensor:
        """The mask of the k largest magnitudes of every row."""
        if weight.ndim < 2 or not weight.numel():
            return torch.ones_like(weight, dtype=torch.bool)
        outputs_first = weight.movedim(self.dim, 0)
        rows = outputs_first.flatten(1)
        kept = NM(kept_count(rows.shape[1], self.sparsity), rows.shape[1]).select_one(rows)
        return kept.view(outputs_first.shape).movedim(0, self.dim).contiguous()
