"""Single weights, tensor by tensor: at most a given fraction of each tensor is non-zero."""

from dataclasses import dataclass, replace

from torch import Tensor

from slrprune.distributed.slices import Slice
from slrprune.sets.base import PerTensorSet, check_progress, check_sparsity, kept_count
from slrprune.sets.claims import Ranked
from slrprune.sets.topk import top_k


@dataclass(frozen=True)
class Unstructured(PerTensorSet):
    """The tensors with at most k non-zeros, k the same fraction of each tensor.

    S = {W : ||W||_0 <= k} with k = numel - round(sparsity * numel), at least 1.

    The projection keeps the k largest magnitudes and clears the rest (equation 4): expected linear time. Any shape.

    Args:
        sparsity: fraction of zeros in every tensor, in [0, 1).

    Raises:
        ArgumentError: sparsity outside [0, 1).

    Examples:
        >>> import torch
        >>> Unstructured(0.5).project(torch.tensor([[3.0, -1.0], [2.0, -4.0]]))
        tensor([[ 3.,  0.],
                [ 0., -4.]])

    Reference:
        T. Blumensath, M. Davies, "Iterative hard thresholding for compressed sensing", 2009, the operator H_s.
    """

    sparsity: float

    def __post_init__(self) -> None:
        check_sparsity("Unstructured", self.sparsity)

    def at(self, progress: float) -> "Unstructured":
        """The set with the fraction `progress` of the sparsity."""
        return replace(self, sparsity=check_progress("Unstructured.at", progress) * self.sparsity)

    def strengths(self, weight: Tensor) -> Tensor | None:
        """The magnitudes."""
        return weight.abs()

    def select_one(self, weight: Tensor) -> Tensor:
        """The mask of the k largest magnitudes."""
        return top_k([weight], kept_count(weight.numel(), self.sparsity))[0]

    def check_slices(self, name: str, shape: tuple[int, ...], ranks: int) -> None:
        """Every slice will do."""

    def claim_one(self, part: Slice) -> Ranked:
        """The entries compete."""
        return Ranked([part.tensor], kept_count(part.numel, self.sparsity), part.numel)
