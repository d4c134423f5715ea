"""ADMM against its two lines in plain Python (docs/theory.md, eq. 21)."""

import math

import pytest
import torch
from torch import nn

from slrprune import ADMM, ConstantPenalty, CubicRamp, GeometricPenalty, NoRamp, Pruner, Unstructured
from slrprune.errors import ArgumentError
from slrprune.methods.base import Moment, Problem


def test_two_updates_worked_out_by_hand() -> None:
    weight = torch.tensor([[2.0, 1.0, -3.0, 0.5]], dtype=torch.float64)
    problem = Problem(("w",), (weight,), ((Unstructured(0.5), (0,)),))
    method = ADMM(penalty=0.5, interval=1, ramp=NoRamp(), coupled=True)  # coupled: the weights stay as written
    state = method.start(problem)
    assert state.tensors["auxiliary"][0].tolist() == [[2.0, 0.0, -3.0, 0.0]]

    weight.copy_(torch.tensor([[2.0, 2.5, -2.0, 1.0]]))
    first = method.update(problem, state, _moment(1, 3.0))
    # Lambda = 0, so Z = Proj(W); of the equal magnitudes 2 and -2 the first stays
    assert state.tensors["auxiliary"][0].tolist() == [[2.0, 2.5, 0.0, 0.0]]
    assert state.tensors["multipliers"][0].tolist() == [[0.0, 0.0, -1.0, 0.5]]  # 0.5 (W - Z)
    assert first.host == {"penalty": 0.5, "stepsize": 0.5}
    assert float(first.device["primal_residual"]) == pytest.approx(math.sqrt(5))
    assert float(first.device["dual_residual"]) == pytest.approx(0.5 * math.sqrt(2.5**2 + 9))
    assert int(first.device["mask_changes"]) == 2
    assert float(first.device["loss"]) == 3.0

    weight.copy_(torch.tensor([[1.5, 2.0, -1.0, 1.0]]))
    method.update(problem, state, _moment(2, 1.0))
    # W + Lambda/0.5 = [1.5, 2, -3, 2], so Z = [0, 2, -3, 0]
    assert state.tensors["auxiliary"][0].tolist() == [[0.0, 2.0, -3.0, 0.0]]
    # Lambda + 0.5 [1.5, 0, 2, 1]
    assert state.tensors["multipliers"][0].tolist() == [[0.75, 0.0, 0.0, 1.0]]


def test_a_whole_run_in_plain_python() -> None:
    """SGD on a quadratic, the pull after every step, rho and sparsity growing, an update every second step."""
    lr, steps, first, last = 0.1, 8, 0.2, 3.2
    goal = [2.0, -1.5, 1.0, 0.8]
    model = nn.Linear(4, 1, bias=False, dtype=torch.float64)
    w = [1.0, -1.4, 1.2, 0.9]
    model.weight.data.copy_(torch.tensor([w], dtype=torch.float64))
    z, multipliers = list(w), [0.0] * 4  # the ramp starts dense
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    method = ADMM(penalty=GeometricPenalty(first, last), interval=2, ramp=CubicRamp(0.0, 0.5))
    pruner = Pruner(model, optimizer, Unstructured(0.75), total_steps=steps, method=method)
    for step in range(1, steps + 1):
        loss = (model.weight - torch.tensor([goal], dtype=torch.float64)).square().sum() / 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        pruner.step(loss)

        rho = first * (last / first) ** (step / steps)
        w = [a - lr * (a - b) for a, b in zip(w, goal, strict=True)]
        w = [(a + lr * (rho * b - c)) / (1 + lr * rho) for a, b, c in zip(w, z, multipliers, strict=True)]
        if step % 2 == 0:
            progress = 1 - max(0.0, 1 - 2 * step / steps) ** 3
            kept = 4 - round(0.75 * progress * 4)
            points = [a + c / rho for a, c in zip(w, multipliers, strict=True)]
            order = sorted(range(4), key=lambda i: (-abs(points[i]), i))[:kept]
            z = [point if i in order else 0.0 for i, point in enumerate(points)]
            multipliers = [c + rho * (a - b) for a, b, c in zip(w, z, multipliers, strict=True)]
            record = pruner.records()[-1]
            assert record.sparsity == (4 - kept) / 4
            assert record.penalty == pytest.approx(rho)
        assert model.weight.flatten().tolist() == pytest.approx(w, rel=1e-12)
    state = pruner.state_dict()["tensors"]
    assert state["auxiliary"]["weight"].flatten().tolist() == pytest.approx(z, rel=1e-12)
    assert state["multipliers"]["weight"].flatten().tolist() == pytest.approx(multipliers, rel=1e-12)


def test_penalty_may_be_a_number_or_a_schedule() -> None:
    assert ADMM(penalty=2).rho(0.3) == 2
    assert ADMM(penalty=ConstantPenalty(2.0)).rho(0.3) == 2
    assert ADMM(penalty=GeometricPenalty(1.0, 4.0)).rho(0.5) == pytest.approx(2)
    with pytest.raises(ArgumentError, match=r"ConstantPenalty\(rho=0\.0\): rho must be positive"):
        ADMM(penalty=0)


def _moment(step: int, loss: float) -> Moment:
    return Moment(step, step / 10, torch.tensor(loss, dtype=torch.float64), (0.1,))
