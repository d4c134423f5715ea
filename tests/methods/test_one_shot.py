"""One-shot magnitude: one cut, at the first step or without any."""

import pytest
import torch
from torch import nn

from slrprune import CubicRamp, OneShot, Pruner, Unstructured
from slrprune.errors import ArgumentError


def _start() -> tuple[nn.Linear, torch.optim.Optimizer, Pruner]:
    torch.manual_seed(0)
    model = nn.Linear(10, 10, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    return model, optimizer, Pruner(model, optimizer, Unstructured(0.9), total_steps=10, method=OneShot())


def test_one_cut_then_masked_training() -> None:
    model, optimizer, pruner = _start()
    expected = None
    for _ in range(10):
        loss = (model.weight - 0.5).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if expected is None:
            expected = Unstructured(0.9).mask(model.weight)
        pruner.step(loss)
        assert torch.equal(pruner.masks()["weight"], expected)
        assert torch.equal(model.weight != 0, expected)
    assert [record.mask_changes for record in pruner.records()] == [90, *[0] * 9]
    assert pruner.finalize().nnz == 10


def test_the_bare_cut_is_the_projection() -> None:
    model, _, pruner = _start()
    expected = Unstructured(0.9).project(model.weight)
    pruner.finalize()
    assert torch.equal(model.weight, expected)


def test_a_ramp_is_refused() -> None:
    message = (
        r"OneShot\(ramp=CubicRamp\(.*\)\): ramp must be NoRamp\(\): there is only one cut\. A ramp of cuts is Gradual"
    )
    with pytest.raises(ArgumentError, match=message):
        OneShot(ramp=CubicRamp())
