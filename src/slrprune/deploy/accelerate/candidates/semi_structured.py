"""Torch's 2:4 semi-structured tensors, for linear layers on CUDA."""

import warnings

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from slrprune.deploy.accelerate.candidates.base import Candidate, finished
from slrprune.deploy.accelerate.layer import Layer


class SemiStructured(Candidate):
    """A linear layer whose weight keeps at most 2 of every 4 along its inputs, on the tensor cores' 2:4 units."""

    name = "2:4 semi-structured"

    def obstacle(self, layer: Layer) -> str:
        """Not a linear layer, not on CUDA, not in half precision, or not 2:4."""
        weight = layer.module.weight
        if not isinstance(layer.module, nn.Linear):
            return "torch has 2:4 for linear layers only"
        if not weight.is_cuda:
            return "2:4 units are in CUDA devices only"
        if weight.dtype not in (torch.float16, torch.bfloat16):
            return f"2:4 needs float16 or bfloat16, the layer is in {weight.dtype}"
        if weight.shape[1] % 4 or bool(((weight != 0).unflatten(1, (-1, 4)).sum(2) > 2).any()):
            return "its weight keeps more than 2 of 4 somewhere"
        return ""

    def build(self, layer: Layer) -> nn.Module:
        """A linear layer with the weight in 2:4."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The PyTorch API of SparseSemiStructuredTensor")
            weight = torch.sparse.to_sparse_semi_structured(layer.module.weight.detach())
        return finished(_SemiStructuredLinear(weight, layer.module.bias), layer.relu)


class _SemiStructuredLinear(nn.Module):
    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.register_buffer("bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) to (..., out)."""
        return F.linear(x, self.weight, self.bias)  # type: ignore[arg-type]  # a buffer
