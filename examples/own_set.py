"""A set of your own: convolutions that keep few kernels. Run with `python examples/own_set.py`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

import slrprune as slr
from slrprune.errors import ShapeError
from slrprune.sets import PerTensorSet, check_progress, check_sparsity, keep_strongest


@dataclass(frozen=True)
class Kernels(PerTensorSet):
    """At most k kernels (one input, one output) are not zero, k = kernels - round(sparsity * kernels), at least 1."""

    sparsity: float

    def __post_init__(self) -> None:
        check_sparsity("Kernels", self.sparsity)

    def check(self, name: str, shape: Sequence[int]) -> None:
        if len(shape) < 3:
            raise ShapeError(name, "Kernels needs the weight of a convolution", shape, f"Leave {name} out.")

    def at(self, progress: float) -> "Kernels":
        return replace(self, sparsity=check_progress("Kernels.at", progress) * self.sparsity)

    def select_one(self, weight: Tensor) -> Tensor:
        grid = weight.flatten(2).shape  # (out, in, entries of a kernel): a group fills the last dimension
        return keep_strongest(weight, grid, (2,), self.sparsity)


torch.manual_seed(0)
teacher = nn.Conv2d(8, 8, 3, groups=8).requires_grad_(False)  # each output looks at one input only
model = nn.Conv2d(8, 8, 3)  # does not know that
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
pruner = slr.Pruner(model, optimizer, Kernels(1 - 8 / 64), total_steps=150)
for _ in range(150):
    images = torch.randn(16, 8, 6, 6)
    loss = (model(images) - teacher(images)).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    pruner.step(loss)
print(pruner.finalize())
print("kernels that stay, output by input:", model.weight.count_nonzero((2, 3)), sep="\n")
