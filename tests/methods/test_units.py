"""Multipliers of units that are cut off as a whole stand still (docs/theory.md, eq. 25)."""

import pytest
import torch
from torch import Tensor, nn

from slrprune import (
    NM,
    SLR,
    Block,
    Channel,
    Column,
    ConstraintSet,
    Global,
    NoRamp,
    Pruner,
    RelaxedPath,
    Unstructured,
)
from slrprune.distributed.world import Alone
from slrprune.methods.base import Problem
from slrprune.methods.units import live_units, of_live_units

WEIGHT = torch.tensor([[9.0, 8.0, 1.0, 1.0], [0.5, 0.4, 0.3, 0.2], [7.0, 0.1, 6.0, 0.0]])
DEAD = 1  # its row without an entry among the four largest


def _pushed(
    method: SLR, constraint: ConstraintSet | None = None, module: nn.Module | None = None, push: float = 0.25
) -> Tensor:
    """The memory of a weight after a projection and one step that pushes every entry by `push`."""
    model = nn.Module()
    model.layer = nn.Linear(4, 3, bias=False) if module is None else module
    with torch.no_grad():
        model.layer.weight.copy_(WEIGHT.reshape(model.layer.weight.shape))
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    rules = {"layer.weight": Unstructured(2 / 3) if constraint is None else constraint}
    pruner = Pruner(model, optimizer, rules, total_steps=2, method=method)
    pruner.step(1.0)
    model.layer.weight.grad = torch.full_like(model.layer.weight, -push)
    optimizer.step()
    pruner.step(0.5)
    return pruner.state_dict()["tensors"]["memory"]["layer.weight"].reshape(WEIGHT.shape)


@pytest.mark.parametrize("sigma", [1.0, 0.5])
def test_a_unit_without_support_keeps_its_memory_and_the_others_move(sigma: float) -> None:
    memory = _pushed(SLR(sigma=sigma, ramp=NoRamp()))
    assert torch.equal(memory[DEAD], WEIGHT[DEAD])
    assert memory[0].tolist() == [9.25, 8.25, 1 + 0.25 * sigma, 1 + 0.25 * sigma]
    assert memory[2].tolist() == pytest.approx([7.25, 0.1 + 0.25 * sigma, 6.25, 0.25 * sigma])


def test_without_a_tolerance_all_units_move() -> None:
    """Dynamic pruning with feedback, as published."""
    assert torch.allclose(_pushed(SLR(tolerance=None, ramp=NoRamp()))[DEAD], WEIGHT[DEAD] + 0.25)


def test_a_unit_that_is_back_moves_again() -> None:
    """Its entries compete with the others all the time: when those shrink, it returns."""
    layer = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[4.0, 3.0], [2.0, 1.0]]))
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    method = SLR(ramp=NoRamp())
    pruner = Pruner(layer, optimizer, {"weight": Unstructured(0.5)}, total_steps=3, method=method)
    pruner.step(1.0)
    layer.weight.grad = torch.tensor([[0.0, 2.5], [-0.25, -0.25]])
    optimizer.step()
    pruner.step(0.5)
    assert layer.weight.tolist() == [[4.0, 0.0], [2.0, 0.0]]
    layer.weight.grad = torch.full((2, 2), -0.25)
    optimizer.step()
    pruner.step(0.25)
    assert pruner.state_dict()["tensors"]["memory"]["weight"].tolist() == [[4.25, 0.75], [2.25, 1.25]]


def test_decay_shrinks_the_memory_of_every_unit() -> None:
    memory = _pushed(SLR(decay=0.5, ramp=NoRamp()))
    # the first update, before which everything was on the support, forgets nothing; the second one half
    assert torch.allclose(memory[DEAD], WEIGHT[DEAD] / 2)


def test_on_a_relaxed_path_no_unit_is_cut_off() -> None:
    """The network computes with beta times what is off the support, so that its gradient is one near the unit."""
    steps = 10
    layers = []
    for tolerance in (1.0, None):
        layer = nn.Linear(4, 3, bias=False)
        with torch.no_grad():
            layer.weight.copy_(WEIGHT)
        optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
        method = SLR(tolerance=tolerance, ramp=RelaxedPath(begin=0.0, end=0.9))
        pruner = Pruner(layer, optimizer, {"weight": Unstructured(2 / 3)}, total_steps=steps, method=method)
        for _ in range(5):
            layer.weight.grad = torch.full_like(layer.weight, -0.01)
            optimizer.step()
            pruner.step(1.0)
        layers.append(pruner.state_dict()["tensors"]["memory"]["weight"])
    assert torch.equal(*layers)


@pytest.mark.parametrize(
    ("constraint", "moves"),
    [
        (Channel(2 / 3), True),
        (Channel(2 / 3, dim=-2), True),
        (Channel(0.5, dim=1), False),
        (Channel(2 / 3) & NM(1, 2), True),
        (Column(0.5), False),
        (Block((1, 4), 0.5), True),
        (Block((3, 1), 0.5), False),
        (Block((1, 2), 0.5), False),
    ],
    ids=repr,
)
def test_where_the_set_chooses_whole_units_they_all_stay_in_the_race(constraint: ConstraintSet, moves: bool) -> None:
    found = Pruner(
        layer := nn.Linear(4, 3, bias=False),
        torch.optim.SGD(layer.parameters(), lr=1.0),
        {"weight": constraint},
        total_steps=2,
    ).problem.unit_dims
    assert found == (None if moves else 0,)


def test_units_lie_along_the_output_dimension() -> None:
    model = nn.ModuleDict(
        {
            "linear": nn.Linear(4, 3),
            "conv": nn.Conv2d(2, 3, 3),
            "transposed": nn.ConvTranspose2d(2, 3, 3),
            "table": nn.Embedding(5, 4),
            "one": nn.Linear(1, 6),
        }
    )
    rules = {
        "linear.bias": Unstructured(0.5),
        "transposed": Channel(0.5, dim=1),
        "table.weight": Unstructured(0.5),
        "*": Global(0.5),
    }
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    problem = Pruner(model, optimizer, rules, total_steps=2).problem
    assert dict(zip(problem.names, problem.unit_dims, strict=True)) == {
        "linear.weight": 0,
        "linear.bias": None,
        "conv.weight": 0,
        "transposed.weight": 1,
        "table.weight": None,
        "one.weight": None,
    }


def test_a_transposed_weight_has_its_units_in_the_second_dimension() -> None:
    mask = torch.zeros(2, 3, 2, dtype=torch.bool)
    mask[1, 2, 0] = True
    problem = Problem(("w",), (torch.ones(2, 3, 2),), ((Unstructured(0.5), (0,)),), unit_dims=(1,))
    (live,) = live_units(problem, [mask])
    assert live is not None
    assert live.shape == (1, 3, 1)
    assert live.flatten().tolist() == [False, False, True]


class _TwoRanks(Alone):
    """What the other rank found is added."""

    @property
    def ranks(self) -> int:
        return 2

    def sum(self, values: Tensor) -> Tensor:
        return values + torch.tensor([1.0, 0.0, 0.0]).reshape(values.shape)


def test_a_unit_on_several_ranks_lives_where_any_rank_has_a_part_of_it() -> None:
    """Weights are cut along dimension 0: whole units where that is theirs, parts of each where it is not."""
    mask = torch.zeros(2, 3, dtype=torch.bool)
    mask[0, 2] = True
    weight = torch.ones(2, 3)
    both = Problem(("w",), (weight,), ((Unstructured(0.5), (0,)),), _TwoRanks(), unit_dims=(1,))
    (live,) = live_units(both, [mask])
    assert live is not None
    assert live.flatten().tolist() == [True, False, True]
    rows = Problem(("w",), (weight,), ((Unstructured(0.5), (0,)),), _TwoRanks(), unit_dims=(0,))
    (live,) = live_units(rows, [mask])
    assert live is not None
    assert live.flatten().tolist() == [True, False]


@pytest.mark.parametrize("shape", [(0, 3), (2, 0)])
@pytest.mark.parametrize("dim", [0, 1])
def test_an_empty_slice_has_no_live_unit(shape: tuple[int, int], dim: int) -> None:
    weight = torch.ones(shape)
    problem = Problem(("w",), (weight,), ((Unstructured(0.5), (0,)),), unit_dims=(dim,))
    (live,) = live_units(problem, [weight.bool()])
    assert live is not None
    assert not live.any()
    assert live.numel() == shape[dim]


def test_a_size_is_a_number_as_long_as_every_unit_may_move() -> None:
    live = torch.tensor([[True], [False]])
    assert of_live_units(0.5, None, 0.0, torch.float32) == 0.5
    assert of_live_units(0.5, live, 0.25, torch.float32) == 0.5
    sizes = of_live_units(torch.tensor(0.5, dtype=torch.float64), live, 0.0, torch.float32)
    assert isinstance(sizes, Tensor)
    assert sizes.dtype == torch.float32
    assert sizes.flatten().tolist() == [0.5, 0.0]
    for beta, expected in ((0.0, [0.5, 0.0]), (0.1, [0.5, 0.5])):
        sizes = of_live_units(0.5, live, torch.tensor(beta, dtype=torch.float64), torch.float32)
        assert isinstance(sizes, Tensor)
        assert sizes.flatten().tolist() == expected


def test_the_slope_of_a_filter_before_batchnorm_holds_at_zero_only() -> None:
    """The reason for the rule (docs/theory.md, section 6): it is a hundred times too large, and gone at once."""
    torch.manual_seed(0)
    images, wanted = torch.randn(64, 3, 8, 8), torch.randn(64, 4, 8, 8)
    block = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4))
    direction = torch.randn_like(block[0].weight[0])
    slopes = []
    for scale in (1.0, 0.1, 0.0):
        with torch.no_grad():
            block[0].weight[0] = scale * direction / direction.norm()
        block.zero_grad()
        nn.functional.mse_loss(block(images), wanted).backward()
        slopes.append(float(block[0].weight.grad[0].norm()))
    living, small, dead = slopes
    assert dead > 100 * living
    assert small > 5 * living
    assert dead > 10 * small
