"""Gradual magnitude pruning: cuts along the cubic ramp, and zeros that stay."""

import pytest
import torch
from torch import nn

from slrprune import CubicRamp, GradualMagnitude, Pruner, Unstructured


def test_cuts_follow_the_ramp_and_zeros_stay() -> None:
    torch.manual_seed(0)
    model = nn.Linear(10, 10, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    method = GradualMagnitude(interval=5, ramp=CubicRamp(0.1, 0.6))
    pruner = Pruner(model, optimizer, Unstructured(0.9), total_steps=100, method=method)
    pruned = torch.zeros(10, 10, dtype=torch.bool)
    for step in range(1, 101):
        loss = (model.weight - 0.5).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        largest = model.weight.detach().abs()
        pruner.step(loss)
        mask = pruner.masks()["weight"]
        assert not bool((mask & pruned).any()), "a pruned weight never returns"
        assert not bool((model.weight[~mask] != 0).any())
        updated = (step - step % 5) / 100
        left = min(1.0, max(0.0, (0.6 - updated) / 0.5))
        assert int(mask.sum()) == 100 - round(0.9 * (1 - left**3) * 100), step
        newly = ~mask & ~pruned
        if bool(newly.any()) and bool(mask.any()):
            assert float(largest[newly].max()) <= float(largest[mask].min()), "the smallest go"
        pruned = ~mask
    assert pruner.finalize().nnz == 10


def test_no_update_beyond_the_ramp_moves_the_mask() -> None:
    model = nn.Linear(10, 10, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    pruner = Pruner(model, optimizer, Unstructured(0.9), total_steps=20, method=GradualMagnitude(interval=5))
    for step in range(20):
        model.weight.grad = torch.randn(10, 10, generator=torch.Generator().manual_seed(step))
        optimizer.step()
        pruner.step(1.0)
    changes = {record.step: record.mask_changes for record in pruner.records()}
    assert changes[5] > 0
    assert changes[15] == changes[20] == 0
    assert sum(changes.values()) == 90
    assert [record.sparsity for record in pruner.records()] == pytest.approx([0.79, 0.9, 0.9, 0.9])
