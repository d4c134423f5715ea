"""Torch's own block-sparse rows (BSR), for linear layers with zeros in blocks."""

import warnings

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from slrprune.deploy.accelerate.candidates.base import Candidate, finished
from slrprune.deploy.accelerate.layer import Layer

_MOST_DENSITY = 0.5
"""With more blocks than half of all, BSR does not pay for its indirection."""


class BlockSparseRows(Candidate):
    """A linear layer whose weight is a torch BSR tensor.

    Args:
        size: side of the square blocks.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.name = f"torch BSR {size}x{size}"  # type: ignore[misc]  # one class, one name per size

    def obstacle(self, layer: Layer) -> str:
        """Not a linear layer, not float32, or zeros that do not come in blocks of this size."""
        weight = layer.module.weight
        if not isinstance(layer.module, nn.Linear):
            return "torch has BSR for linear layers only"
        if weight.dtype is not torch.float32 or weight.device.type != "cpu":
            return f"tried for float32 on the CPU, the layer is in {weight.dtype} on {weight.device}"
        if any(size % self.size for size in weight.shape):
            return f"its shape {tuple(weight.shape)} does not divide into {self.size}x{self.size} blocks"
        density = self._density(weight)
        return "" if density <= _MOST_DENSITY else f"{density:.0%} of its {self.size}x{self.size} blocks are not empty"

    def build(self, layer: Layer) -> nn.Module:
        """A linear layer with the weight in BSR."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sparse .* tensor support is in beta state")
            blocks = layer.module.weight.detach().to_sparse_bsr((self.size, self.size))
        return finished(_BSRLinear(blocks, layer.module.bias), layer.relu)

    def _density(self, weight: Tensor) -> float:
        blocks = (weight != 0).unflatten(1, (-1, self.size)).unflatten(0, (-1, self.size)).any(3).any(1)
        return float(blocks.float().mean()) if blocks.numel() else 1.0


class _BSRLinear(nn.Module):
    """`x W^T + b` with W in BSR, kept as its parts: torch can neither copy nor pickle a BSR buffer."""

    crow_indices: Tensor
    col_indices: Tensor
    values: Tensor
    bias: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.register_buffer("crow_indices", weight.crow_indices())
        self.register_buffer("col_indices", weight.col_indices())
        self.register_buffer("values", weight.values())
        self.register_buffer("bias", bias)
        self.shape = tuple(weight.shape)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) to (..., out)."""
        parts = self.crow_indices, self.col_indices, self.values
        weight = torch.sparse_bsr_tensor(*parts, self.shape, check_invariants=False)
        return F.linear(x, weight, self.bias)
