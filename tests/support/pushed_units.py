"""A weight after a first projection and steps that push entries off and on the support, under SLR."""

import torch
from torch import Tensor, nn

from slrprune import SLR, ConstraintSet, Pruner, Unstructured

WEIGHT = torch.tensor([[9.0, 8.0, 1.0, 1.0], [0.5, 0.4, 0.3, 0.2], [7.0, 0.1, 6.0, 0.0]])
DEAD = 1  # its row without an entry among the four largest


def pushed(
    method: SLR,
    off: float,
    on: float = 0.25,
    losses: tuple[float, ...] = (0.5,),
    constraint: ConstraintSet | None = None,
) -> tuple[Tensor, Tensor]:
    """Memory and mask of a weight after a first projection and steps that push entries off and on the support."""
    layer = nn.Linear(4, 3, bias=False)
    with torch.no_grad():
        layer.weight.copy_(WEIGHT)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    rules = {"weight": Unstructured(2 / 3) if constraint is None else constraint}
    total = method.interval + len(losses)
    pruner = Pruner(layer, optimizer, rules, total_steps=total, method=method)
    for _ in range(method.interval):
        pruner.step(1.0)
    mask = pruner.masks()["weight"].clone()
    for loss in losses:
        layer.weight.grad = torch.where(mask, -on, -off)
        optimizer.step()
        pruner.step(loss)
    return pruner.state_dict()["tensors"]["memory"]["weight"], mask
