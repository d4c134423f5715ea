"""A network under FSDP2 for the scenarios of tests/distributed, and the same in one process.

Four ranks make three meshes: all four in a row, two pairs that each train for themselves, and a square whose rows hold
copies of what its columns cut (hybrid sharding).
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from slrprune import (
    Pruner,
    SparsityReport,
)
from slrprune.distributed import Alone

STEPS, BATCH = 6, 8


def meshes() -> dict[str, DeviceMesh]:
    square = init_device_mesh("cpu", (2, 2), mesh_dim_names=("copies", "cut"))
    return {"four": init_device_mesh("cpu", (4,)), "two": square["cut"], "square": square}


class Net(nn.Module):
    """Slices of 16 / 4, of 6 on 4 ranks (2, 2, 2, 0) and of a single row; ties on purpose."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.conv = nn.Conv2d(4, 16, 3)
        self.hidden = nn.Linear(16, 6)
        self.head = nn.Linear(6, 1)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_((parameter * 64).round() / 64)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.hidden(self.conv(images).relu().mean((2, 3))).tanh())


def net(mesh: DeviceMesh | None, dtype: torch.dtype = torch.float64) -> Net:
    model = Net().to(dtype)
    if mesh is not None:
        for layer in (model.conv, model.hidden, model.head):
            fully_shard(layer, mesh=mesh)
        fully_shard(model, mesh=mesh)
    return model


def batch(step: int, mesh: DeviceMesh | None, dtype: torch.dtype = torch.float64) -> Tensor:
    """This rank's share of a batch that one process sees as a whole."""
    images = torch.randn(BATCH, 4, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(step)).to(dtype)
    if mesh is None:
        return images
    place, size = mesh.get_rank(), mesh.size()
    place = mesh.mesh.flatten().tolist().index(place)
    return images.chunk(size)[place]


def train(pruner: Pruner, optimizer: torch.optim.Optimizer, mesh: DeviceMesh | None, steps: range) -> None:
    for step in steps:
        optimizer.zero_grad()
        loss = (pruner.model(batch(step, mesh)) - 1).square().mean()
        (loss + pruner.penalty() if pruner.method.is_coupled else loss).backward()
        optimizer.step()
        pruner.step(loss)


def make(mesh: DeviceMesh | None, rules: Any, method: Any = None, steps: int = STEPS, **options: Any) -> Any:
    model = net(mesh)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    if mesh is None:
        options["world"] = Alone()
    return Pruner(model, optimizer, rules, total_steps=steps, method=method, **options), optimizer


def counts(report: SparsityReport) -> Any:
    return report.layers, report.model_numel, report.model_nnz, report.steps


def full(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
