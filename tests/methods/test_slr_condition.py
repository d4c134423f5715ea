"""SLR's surrogate condition: where it fails, a multiplier step that would crowd the support is refused (eq. 24)."""

import math

import pytest
import torch
from torch import Tensor, nn
from two_weights import LR, STEPS, Two, trained

from slrprune import SLR, CubicRamp, Global, NoRamp, Pruner, Unstructured
from slrprune.errors import ArgumentError
from slrprune.methods.base import MethodState, Problem
from slrprune.methods.crowding import crowds, remember_largest

CUT_OFF = torch.tensor([2.0, 1.0, -1.0, 0.5], dtype=torch.float64)


def _pushed(
    pushes: list[float],
    losses: list[float],
    tolerance: float | None,
    interval: int = 1,
    dtype: torch.dtype = torch.float64,
) -> Pruner:
    """Half of 8 weights are cut off; then each step brings a loss and pushes the entries off the support outwards."""
    weight = nn.Parameter(torch.cat([torch.tensor([9.0, 8.0, 7.0, 6.0]), CUT_OFF]).to(dtype))
    model = nn.Module()
    model.weight = weight
    optimizer = torch.optim.SGD([weight], lr=1.0)
    method = SLR(sigma=0.5, ramp=NoRamp(), tolerance=tolerance, interval=interval)
    steps = interval + len(losses)
    pruner = Pruner(model, optimizer, {"weight": Unstructured(0.5)}, total_steps=steps, method=method)
    for _ in range(interval):
        pruner.step(1.0)
    for loss in losses:
        weight.grad = torch.cat([torch.zeros(4), -2 * torch.tensor(pushes)]).to(dtype)
        optimizer.step()
        pruner.step(loss)
    return pruner


@pytest.mark.parametrize("interval", [1, 2])
@pytest.mark.parametrize(
    ("pushes", "loss", "tolerance", "refused"),
    [
        ([0.1, 1.1, -1.1, 0.0], 5.0, 0.5, True),  # three entries rise above 2, two of the four weights are allowed
        ([0.1, 1.1, -0.9, 0.0], 5.0, 0.5, False),
        ([0.1, 1.1, -1.1, 0.0], 5.0, 0.75, False),
        ([0.1, 1.1, -1.1, 0.0], 0.5, 0.5, False),  # the condition holds
        ([0.1, 1.1, -1.1, 0.0], 5.0, None, False),
        ([0.1, 0.0, 0.0, 0.0], 5.0, 0.0, False),  # one may always
        ([0.1, 1.1, 0.0, 0.0], 5.0, 0.0, True),
        ([-1.0, 0.9, -0.9, 1.0], 5.0, 0.0, False),  # nothing rises above what was there
    ],
)
def test_multipliers_wait_where_the_condition_fails_and_a_step_would_crowd_the_support(
    pushes: list[float], loss: float, tolerance: float | None, refused: bool, interval: int
) -> None:
    pruner = _pushed(pushes, [loss], tolerance, interval)
    expected = CUT_OFF if refused else CUT_OFF + torch.tensor(pushes).double()
    stored = pruner.state_dict()["tensors"]
    assert torch.allclose(stored["memory"]["weight"][4:], expected, rtol=1e-12, atol=1e-15)
    if interval == 1:
        assert pruner.records()[-1].stepsize == (0.0 if refused else 0.5)
        assert pruner.records()[-1].first_condition == float(loss < 1)


def test_within_an_interval_the_bound_is_that_of_the_last_update() -> None:
    """No step alone lifts an entry above it; two of them lift two, so that the second is refused."""
    pushes = [0.0, 0.6, -0.6, 0.0]
    pruner = _pushed(pushes, [5.0, 5.0], 0.25, interval=3)
    memory = pruner.state_dict()["tensors"]["memory"]["weight"][4:]
    assert torch.allclose(memory, CUT_OFF + torch.tensor(pushes).double(), rtol=1e-12)


def test_an_update_may_be_refused_after_steps_that_were_not() -> None:
    """Of an interval of 3 the first step is taken while the condition holds; what it collected stays."""
    pruner = _pushed([0.0, 1.1, -1.1, 0.0], [0.9, 5.0, 5.0], 0.25, interval=3)
    memory = pruner.state_dict()["tensors"]["memory"]["weight"][4:]
    assert torch.allclose(memory, CUT_OFF + torch.tensor([0.0, 1.1, -1.1, 0.0]).double(), rtol=1e-6)
    assert [record.stepsize for record in pruner.records()] == [0.5, 0.0]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("tolerance", "refused"), [(0.25, True), (0.5, False)])
def test_multipliers_of_16_bit_weights_wait_as_well(dtype: torch.dtype, tolerance: float, refused: bool) -> None:
    pushes = [0.0, 1.5, -1.25, 0.0]
    memory = _pushed(pushes, [5.0], tolerance, dtype=dtype).state_dict()["tensors"]["memory"]["weight"][4:]
    assert memory.tolist() == (CUT_OFF if refused else CUT_OFF + torch.tensor(pushes)).tolist()


def test_a_state_from_before_there_were_bounds_loads() -> None:
    """Nothing is refused until the next update has set one."""
    method = SLR(sigma=0.5, ramp=NoRamp())
    saved = trained(Two(), method).state_dict()
    del saved["scalars"]["largest_multiplier_0"]
    saved["steps"] = 0
    model = Two()
    pruner = Pruner(model, torch.optim.SGD(model.parameters(), lr=LR), Global(0.7), total_steps=STEPS, method=method)
    pruner.load_state_dict(saved)
    pruner.step(9.0)
    assert pruner.records()[-1].stepsize == 0.5
    assert "largest_multiplier_0" in pruner.state_dict()["scalars"]


def test_every_budget_has_its_own_bound_and_the_entries_of_all_are_counted() -> None:
    problem = Problem(
        ("a", "b"),
        (torch.tensor([9.0, 5.0, 4.0]), torch.tensor([0.9, 0.5, 0.4, 0.0])),
        ((Unstructured(2 / 3), (0,)), (Unstructured(0.75), (1,))),
    )
    masks = [torch.tensor([True, False, False]), torch.tensor([True, False, False, False])]
    state = MethodState(tensors={})
    points = list(problem.weights)
    assert not crowds(problem, state, masks, points, 0.0)  # nothing is known yet
    remember_largest(problem, state, masks, points)
    assert [float(value) for value in state.scalars.values()] == [5.0, 0.5]
    higher = [torch.tensor([9.0, -5.1, 4.0]), torch.tensor([0.9, 0.6, -0.6, 0.3])]
    assert crowds(problem, state, masks, higher, 0.5)  # three, of two that are kept
    assert crowds(problem, state, masks, higher, 1.0)
    assert not crowds(problem, state, masks, higher, 1.5)
    assert not crowds(problem, state, masks, [points[0], torch.tensor([0.1, 0.6, 0.5, 0.3])], 0.0)


def test_decisions_of_a_device_are_those_of_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """On accelerators nobody looks at the decision; here the same one is handed on as a tensor."""
    decide, seen = SLR._refuses, []

    def on_device(self: SLR, *args: object) -> Tensor:
        seen.append(bool(decide(self, *args)))  # type: ignore[arg-type]
        return torch.tensor(seen[-1])

    method = SLR(sigma=1.0, ramp=CubicRamp(), tolerance=0.01)
    one, other = Two(), Two()
    here = trained(one, method)
    monkeypatch.setattr(SLR, "_refuses", on_device)
    there = trained(other, method)
    assert True in seen
    assert False in seen
    assert all(torch.equal(a, b) for a, b in zip(one.weights, other.weights, strict=True))
    assert [record.stepsize for record in here.records()] == [record.stepsize for record in there.records()]


@pytest.mark.parametrize("tolerance", [-0.1, 1.1, math.nan])
def test_tolerance_that_is_none_is_refused(tolerance: float) -> None:
    with pytest.raises(ArgumentError, match=rf"SLR\(tolerance={tolerance}\): tolerance must be in \[0, 1\], or None"):
        SLR(tolerance=tolerance)
