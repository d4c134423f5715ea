"""SLR's surrogate condition: where it fails, a step that would crowd the support is refused, then halved (eq. 24)."""

import math

import pytest
import torch
from torch import nn
from two_weights import LR, STEPS, Two, trained

from slrprune import SLR, CubicRamp, Global, NoRamp, Pruner, Unstructured
from slrprune.errors import ArgumentError
from slrprune.methods.base import MethodState, Moment, Problem
from slrprune.methods.crowding import adapt_shares, crowds, remember_largest, shares
from slrprune.methods.surrogate import holds

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


def test_what_was_let_in_while_the_condition_held_shortens_one_step_and_not_more() -> None:
    """Two entries rise above the bound, then the condition fails for the rest of an interval of 10."""
    pruner = _pushed([0.0, 1.1, -1.1, 0.0], [0.9, *[5.0] * 9], 0.25, interval=10)
    assert pruner.state_dict()["scalars"]["share_0"] == 0.5


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("tolerance", "refused"), [(0.25, True), (0.5, False)])
def test_multipliers_of_16_bit_weights_wait_as_well(dtype: torch.dtype, tolerance: float, refused: bool) -> None:
    pushes = [0.0, 1.5, -1.25, 0.0]
    memory = _pushed(pushes, [5.0], tolerance, dtype=dtype).state_dict()["tensors"]["memory"]["weight"][4:]
    assert memory.tolist() == (CUT_OFF if refused else CUT_OFF + torch.tensor(pushes)).tolist()


def test_a_state_from_before_there_were_bounds_loads() -> None:
    """Nothing is refused until the next update has set one."""
    method = SLR(sigma=0.5, tolerance=0.02, ramp=NoRamp())
    saved = trained(Two(), method).state_dict()
    for name in ("largest_multiplier_0", "share_0", "share_1"):
        del saved["scalars"][name]
    saved["steps"] = 0
    model = Two()
    pruner = Pruner(model, torch.optim.SGD(model.parameters(), lr=LR), Global(0.7), total_steps=STEPS, method=method)
    pruner.load_state_dict(saved)
    pruner.step(9.0)
    assert pruner.records()[-1].stepsize == 0.5
    assert {"largest_multiplier_0", "share_0", "share_1"} <= set(pruner.state_dict()["scalars"])


TWO_BUDGETS = Problem(
    ("a", "b"),
    (torch.tensor([9.0, 5.0, 4.0]), torch.tensor([0.9, 0.8, 0.5, 0.4, 0.0])),
    ((Unstructured(2 / 3), (0,)), (Unstructured(0.6), (1,))),
)
MASKS = [torch.tensor([True, False, False]), torch.tensor([True, True, False, False, False])]


def test_every_budget_has_its_own_bound_and_every_weight_its_own_count() -> None:
    state, points = MethodState(tensors={}), list(TWO_BUDGETS.weights)
    assert crowds(TWO_BUDGETS, state, MASKS, points, 0.0).tolist() == [False, False]  # nothing is known yet
    remember_largest(TWO_BUDGETS, state, MASKS, points)
    assert [float(value) for value in state.scalars.values()] == [5.0, 0.5]
    higher = [torch.tensor([9.0, -5.1, 4.0]), torch.tensor([0.9, 0.8, 0.6, -0.6, 0.3])]
    assert crowds(TWO_BUDGETS, state, MASKS, higher, 0.5).tolist() == [False, True]  # one, and two of two that are kept
    assert crowds(TWO_BUDGETS, state, MASKS, higher, 1.0).tolist() == [False, False]
    both = [torch.tensor([9.0, -5.1, 5.2]), higher[1]]
    assert crowds(TWO_BUDGETS, state, MASKS, both, 0.9).tolist() == [True, True]
    assert crowds(TWO_BUDGETS, state, MASKS, both, 1.0).tolist() == [True, False]


def test_one_weight_is_refused_and_the_other_goes_on() -> None:
    model = nn.Module()
    model.a, model.b = (nn.Parameter(torch.tensor([9.0, 8.0, 2.0, 1.0])) for _ in "ab")
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    rules = {"a": Unstructured(0.5), "b": Unstructured(0.5)}
    method = SLR(sigma=0.5, tolerance=0.02, ramp=NoRamp())
    pruner = Pruner(model, optimizer, rules, total_steps=3, method=method)
    pruner.step(1.0)
    model.a.grad, model.b.grad = torch.tensor([0.0, 0.0, -2.0, -4.0]), torch.tensor([0.0, 0.0, -2.0, -1.0])
    optimizer.step()
    pruner.step(5.0)
    state = pruner.state_dict()
    assert {name: memory[2:].tolist() for name, memory in state["tensors"]["memory"].items()} == {
        "a": [2.0, 1.0],
        "b": [3.0, 1.5],
    }
    assert [float(state["scalars"][name]) for name in ("share_0", "share_1")] == [0.5, 1.0]
    assert pruner.records()[-1].stepsize == 0.25


def test_a_refused_step_is_followed_by_half_of_it_and_one_that_is_taken_by_twice_as_much() -> None:
    """The whole step lifts two entries above 2, half of it one, and the whole one after that one above 2.75."""
    pushes = [0.0, 1.1, -3.5, 0.1]
    for stepsizes in ([0.0], [0.0, 0.25], [0.0, 0.25, 0.5]):
        pruner = _pushed(pushes, [5.0] * len(stepsizes), 0.25)
        assert [record.stepsize for record in pruner.records()][1:] == stepsizes
        smallest = pruner.state_dict()["tensors"]["memory"]["weight"][7]
        assert float(smallest) == pytest.approx(0.5 + 0.1 * sum(stepsizes) / 0.5)


def test_once_the_condition_holds_the_whole_step_is_taken_again() -> None:
    pruner = _pushed([0.0, 1.1, -1.1, 0.0], [5.0, -50.0], 0.25)
    assert [record.first_condition for record in pruner.records()][1:] == [0.0, 1.0]
    assert [record.stepsize for record in pruner.records()][1:] == [0.0, 0.5]
    assert pruner.state_dict()["scalars"]["share_0"] == 1


def test_a_share_stays_above_zero() -> None:
    """However often steps are refused, and it grows again."""
    state = MethodState(tensors={})
    moment = Moment(step=1, time=0.5, loss=torch.tensor(1.0), lrs=())
    for _ in range(2000):
        adapt_shares(TWO_BUDGETS, state, moment, True, torch.tensor([True, False]))
    few, whole = shares(TWO_BUDGETS, state).tolist()
    assert 0 < few < 1e-6
    assert whole == 1.0
    for _ in range(30):
        adapt_shares(TWO_BUDGETS, state, moment, True, torch.tensor([False, False]))
    assert shares(TWO_BUDGETS, state).tolist() == [1.0, 1.0]


def test_shares_stay_after_a_step_that_is_not_usable() -> None:
    state = MethodState(tensors={})
    crowded, fails = torch.tensor([True, False]), torch.tensor(True)
    for usable, expected in ((True, [0.5, 1.0]), (False, [0.5, 1.0]), (True, [0.25, 1.0])):
        moment = Moment(step=1, time=0.5, loss=torch.tensor(1.0), lrs=(), is_usable=torch.tensor(usable))
        adapt_shares(TWO_BUDGETS, state, moment, fails, crowded)
        assert shares(TWO_BUDGETS, state, fails).tolist() == expected


def test_decisions_of_a_device_are_those_of_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """On accelerators nobody looks at the condition; here the CPU does not either."""
    method = SLR(sigma=1.0, ramp=CubicRamp(), tolerance=0.01, trust=None, garrote=None)
    one, other = Two(), Two()
    here = trained(one, method)
    monkeypatch.setattr(SLR, "_fails", lambda self, problem, state: ~holds(state))
    there = trained(other, method)
    stepsizes = [record.stepsize for record in here.records()]
    assert {0.0, 1.0} < set(stepsizes)
    assert [record.stepsize for record in there.records()] == pytest.approx(stepsizes, rel=1e-12)
    for a, b in zip(one.weights, other.weights, strict=True):
        assert torch.allclose(a, b, rtol=1e-5)
        assert torch.equal(a == 0, b == 0)


@pytest.mark.parametrize("tolerance", [-0.1, 1.1, math.nan])
def test_tolerance_that_is_none_is_refused(tolerance: float) -> None:
    with pytest.raises(ArgumentError, match=rf"SLR\(tolerance={tolerance}\): tolerance must be in \[0, 1\], or None"):
        SLR(tolerance=tolerance)
