"""The quadratic penalty method: Z is the weights' own projection, and the pull grows."""

import pytest
import torch
from torch import nn

from slrprune import GeometricPenalty, NoRamp, Pruner, QuadraticPenalty, Unstructured


def test_a_whole_run_in_plain_python() -> None:
    lr, steps, first, last = 0.1, 6, 0.5, 8.0
    goal = [2.0, -1.5, 1.0]
    model = nn.Linear(3, 1, bias=False, dtype=torch.float64)
    w = [1.0, -1.4, 1.2]
    model.weight.data.copy_(torch.tensor([w], dtype=torch.float64))
    z = [0.0, -1.4, 0.0]
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    method = QuadraticPenalty(penalty=GeometricPenalty(first, last), interval=2, ramp=NoRamp())
    pruner = Pruner(model, optimizer, Unstructured(0.67), total_steps=steps, method=method)
    for step in range(1, steps + 1):
        loss = (model.weight - torch.tensor([goal], dtype=torch.float64)).square().sum() / 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        pruner.step(loss)

        rho = first * (last / first) ** (step / steps)
        w = [a - lr * (a - b) for a, b in zip(w, goal, strict=True)]
        w = [(a + lr * rho * b) / (1 + lr * rho) for a, b in zip(w, z, strict=True)]
        if step % 2 == 0:
            largest = max(range(3), key=lambda i: abs(w[i]))
            before = z
            z = [a if i == largest else 0.0 for i, a in enumerate(w)]
            record = pruner.records()[-1]
            primal = sum((a - b) ** 2 for a, b in zip(w, z, strict=True)) ** 0.5
            dual = rho * sum((a - b) ** 2 for a, b in zip(z, before, strict=True)) ** 0.5
            assert (record.primal_residual, record.dual_residual) == pytest.approx((primal, dual), rel=1e-12)
        assert model.weight.flatten().tolist() == pytest.approx(w, rel=1e-12)


def test_weights_approach_the_set_as_the_penalty_grows() -> None:
    model = nn.Linear(8, 8, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    method = QuadraticPenalty(penalty=GeometricPenalty(0.1, 1000.0), interval=4)
    pruner = Pruner(model, optimizer, Unstructured(0.75), total_steps=80, method=method)
    for _ in range(80):
        loss = (model.weight - 0.1).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        pruner.step(loss)
    residuals = [record.primal_residual for record in pruner.records()]
    assert residuals[-1] < 0.02 * max(residuals)
