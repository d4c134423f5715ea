"""Units without any entry on the support are gone for good (docs/theory.md, eq. 26)."""

import pytest
import torch
from pushed_units import DEAD, WEIGHT, pushed
from torch import nn
from two_ranks import TwoRanks

from slrprune import (
    NM,
    SLR,
    Block,
    Channel,
    ConstraintSet,
    Global,
    GradualMagnitude,
    NoRamp,
    Pruner,
    RelaxedPath,
    Unstructured,
)
from slrprune.methods.base import Problem
from slrprune.methods.units import forget_units


@pytest.mark.parametrize(
    ("constraint", "loses"),
    [
        (Channel(2 / 3), True),
        (Channel(2 / 3) & NM(2, 4), True),
        (Channel(0.5, dim=1), False),
        (Unstructured(2 / 3), True),
        (Global(2 / 3), True),
        (Block((1, 4), 2 / 3), True),
    ],
    ids=repr,
)
@pytest.mark.parametrize("interval", [1, 2])
def test_units_without_a_support_are_forgotten(constraint: ConstraintSet, loses: bool, interval: int) -> None:
    """At once, and for good: only what is off the support of a living unit is left in the memory."""
    memory, mask = pushed(SLR(ramp=NoRamp(), interval=interval), off=0.25, constraint=constraint)
    gone = ~mask.any(1)
    assert bool(gone.any()) == loses
    assert bool((memory[gone] == 0).all())
    assert bool((memory[~gone] != 0).any())
    kept, _ = pushed(SLR(ramp=NoRamp(), interval=interval, trust=None), off=0.25, constraint=constraint)
    assert torch.equal(kept[gone], WEIGHT[gone] + 0.25), "dynamic pruning with feedback forgets nothing"


def test_a_transposed_convolution_forgets_along_its_second_dimension() -> None:
    layer = nn.ConvTranspose2d(2, 3, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[5.0, 1.0, 3.0], [5.0, 2.0, 3.0]]).reshape(2, 3, 1, 1))
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    pruner = Pruner(layer, optimizer, Channel(1 / 3), total_steps=2, method=SLR(ramp=NoRamp()))
    pruner.step(1.0)
    memory = pruner.state_dict()["tensors"]["memory"]["weight"]
    assert memory[:, :, 0, 0].tolist() == [[5.0, 0.0, 3.0], [5.0, 0.0, 3.0]]


@pytest.mark.parametrize("interval", [1, 3])
def test_with_whole_filters_it_is_gradual_magnitude_pruning(interval: int) -> None:
    """No entry off the support has a memory then, so that nothing but the living filters is left to be projected."""
    ends = []
    for method in (SLR(interval=interval), GradualMagnitude(interval=interval)):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(2, 16, 3, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 4, 3))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
        rules = {"0.weight": Channel(0.75), "*": None}
        pruner = Pruner(model, optimizer, rules, total_steps=60, method=method)
        for _ in range(60):
            loss = (model(torch.randn(8, 2, 6, 6)) - 1).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            pruner.step(loss)
        pruner.finalize()
        ends.append(model[0].weight.detach().clone())
        assert int(ends[-1].flatten(1).any(1).sum()) == 4
    assert torch.equal(*ends)


@pytest.mark.parametrize("slack", [0.0, 0.05])
def test_on_a_relaxed_path_units_are_forgotten_at_its_end(slack: float) -> None:
    """Before, the network computes with all of them."""
    layer = nn.Linear(4, 3, bias=False)
    with torch.no_grad():
        layer.weight.copy_(WEIGHT)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    method = SLR(ramp=RelaxedPath(begin=0.0, end=0.5, slack=slack))
    pruner = Pruner(layer, optimizer, Channel(2 / 3), total_steps=10, method=method)
    left = []
    for step in range(10):
        layer.weight.grad = torch.zeros_like(layer.weight)
        optimizer.step()
        pruner.step(1.0 - step / 10)
        left.append(bool(pruner.state_dict()["tensors"]["memory"]["weight"][DEAD].any()))
    assert left == sorted(left, reverse=True)
    assert left[3]
    assert not left[-1]


def test_a_unit_on_several_ranks_is_gone_where_no_rank_has_anything_of_it() -> None:
    """Weights are cut along dimension 0: parts of a unit lie on all ranks where units lie along another."""
    mask = torch.tensor([[False, True, False]])
    world = TwoRanks([1.0, 0.0, 0.0])
    groups = ((Unstructured(0.5), (0, 1)),)
    point, rows = torch.ones(1, 3), torch.ones(1, 3)
    both = Problem(("a", "b"), (point, rows), groups, world, ((2, 3), (2, 3)), (1, 0))
    forget_units(both, [mask, ~mask.any(1, keepdim=True) & mask], [point, rows], 0.0)
    assert point.tolist() == [[1.0, 1.0, 0.0]]
    assert rows.tolist() == [[0.0, 0.0, 0.0]], "a whole unit is judged without asking"
    assert world.asked == 1


@pytest.mark.parametrize("shape", [(0, 3), (2, 0)])
@pytest.mark.parametrize("dim", [0, 1])
def test_a_rank_may_hold_no_rows(shape: tuple[int, int], dim: int) -> None:
    point = torch.ones(shape)
    forget_units(
        Problem(("w",), (point,), ((Unstructured(0.5), (0,)),), unit_dims=(dim,)), [point.bool()], [point], 0.0
    )
    assert point.shape == shape


def test_after_a_step_that_is_not_usable_nothing_is_forgotten() -> None:
    for usable in (False, True):
        point = torch.ones(2, 2)
        problem = Problem(("w",), (point,), ((Unstructured(0.5), (0,)),))
        mask = torch.tensor([[True, True], [False, False]])
        forget_units(problem, [mask], [point], 0.0, torch.tensor(usable))
        assert point.tolist() == [[1.0, 1.0], [0.0, 0.0] if usable else [1.0, 1.0]]


def test_what_is_forgotten_counts_for_the_threshold_of_its_projection() -> None:
    """Condition 1 asks what lies above the largest entry cut off (eq. 24): that of the unit that has just gone."""
    layer = nn.Linear(4, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[9.0, 8.0, 0.1, 0.1], [2.0, 2.0, 2.0, 2.0]]))
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    method = SLR(ramp=NoRamp(), tolerance=0.0)
    pruner = Pruner(layer, optimizer, Unstructured(0.75), total_steps=2, method=method)
    pruner.step(1.0)
    layer.weight.grad = torch.full((2, 4), -0.25)
    optimizer.step()
    pruner.step(5.0)  # the condition fails, and two entries of 0.35 are far below 2
    assert pruner.records()[-1].stepsize == 1.0
    assert pruner.state_dict()["tensors"]["memory"]["weight"][1].tolist() == [0.0] * 4
