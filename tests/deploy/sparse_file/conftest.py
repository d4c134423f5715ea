"""What the tests of the sparse file share: tensors with zeros in many places, comparison by bits, a file to damage."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from slrprune.deploy import save_sparse


def pruned(shape: tuple[int, ...], sparsity: float, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    """Laplace-distributed weights (as trained ones are, roughly) whose smallest magnitudes are zero."""
    generator = torch.Generator().manual_seed(seed)
    uniform = torch.rand(shape, generator=generator) - 0.5
    weight = -0.02 * uniform.sign() * (1 - 2 * uniform.abs()).clamp_min(1e-12).log()
    kept = max(1, round((1 - sparsity) * weight.numel()))
    threshold = weight.abs().flatten().kthvalue(weight.numel() - kept + 1).values
    return torch.where(weight.abs() >= threshold, weight, 0).to(dtype)


def bits(tensor: Tensor) -> bytes:
    """The entries in logical order, as bytes."""
    return bytes(tensor.detach().contiguous().reshape(-1).view(torch.uint8).tolist()) if tensor.numel() else b""


class Net(nn.Module):
    """Convolutions, BatchNorm with its buffers, a tied linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 16, 3)
        self.norm = nn.BatchNorm2d(16)
        self.first = nn.Linear(16, 16)
        self.tied = nn.Linear(16, 16, bias=False)
        self.tied.weight = self.first.weight
        self.register_buffer("mask", torch.rand(100) < 0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        return self.tied(self.first(self.norm(self.conv(x)).mean((2, 3))))


@pytest.fixture
def make_pruned() -> Callable[..., Tensor]:
    return pruned


@pytest.fixture
def as_bits() -> Callable[[Tensor], bytes]:
    return bits


@pytest.fixture
def net() -> Net:
    """A small network with 80% zeros in its convolution."""
    model = Net()
    model.conv.weight.data.copy_(pruned((16, 8, 3, 3), 0.8))
    return model


@pytest.fixture
def make_net() -> type[Net]:
    return Net


@pytest.fixture
def small_file(tmp_path: Path) -> Path:
    """A file of a few kB with every kind of row: mask, gaps, moved dimension, minus signs, dense, shared."""
    groups = torch.rand(16, 8, 4, 9).argsort(2) < 2
    weight = torch.randn(16, 8, 4, 9)
    blocks = (torch.rand(8, 1, 72) < 0.2).expand(8, 4, 72).reshape(32, 72)
    state = {
        "mask": torch.where(torch.rand(300) < 0.4, torch.randn(300), 0),
        "gaps": pruned((32, 64), 0.95),
        "groups": torch.where(groups, weight, 0).reshape(16, 32, 9).half(),
        "blocks": torch.randn(32, 72) * blocks,
        "dense": torch.randn(11),
        "flags": torch.rand(2000) < 0.05,
    }
    state["shared"] = state["gaps"]
    path = tmp_path / "small.safetensors"
    save_sparse(state, path)
    return path
