"""A model's whole way in two steps: forward, backward, pruning, hard cut, sparse file, and back."""

import math
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from slrprune import Pruner
from slrprune.deploy.sparse_file import load_sparse, save_sparse
from slrprune.methods import SLR, CubicRamp
from slrprune.rules import Rules, assign


def prune_and_export(
    build: Callable[[], nn.Module], loss: Callable[[nn.Module], Tensor], example: Tensor, rules: Rules, path: Path
) -> float:
    """Prunes a new model for two steps, and finds it again in its sparse file.

    Returns:
        Fraction of zeros in the pruned weights.
    """
    model = build()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    pruner = Pruner(model, optimizer, rules, total_steps=2, method=SLR(ramp=CubicRamp()))
    model.train()
    for _ in range(2):
        optimizer.zero_grad()
        value = loss(model)
        assert math.isfinite(value.item())
        value.backward()
        optimizer.step()
        pruner.step(value)
    pruner.finalize()
    save_sparse(model, path)
    copy = build()
    load_sparse(path, copy)
    with torch.inference_mode():
        assert torch.equal(model.eval()(example), copy.eval()(example))
    weights = [target.parameter for assignment in assign(model, rules)[0] for target in assignment.targets]
    assert path.stat().st_size < sum(parameter.numel() for parameter in model.parameters()) * 4
    return sum(int((weight == 0).sum()) for weight in weights) / sum(weight.numel() for weight in weights)
