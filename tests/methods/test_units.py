"""Multipliers move in units whose slopes off the support can be trusted (docs/theory.md, eq. 25)."""

import math

import pytest
import torch
from pushed_units import DEAD, WEIGHT, pushed
from torch import Tensor, nn
from two_ranks import TwoRanks

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
from slrprune.errors import ArgumentError
from slrprune.methods.base import Problem
from slrprune.methods.units import of_units, trusted_units


@pytest.mark.parametrize("interval", [1, 2])
@pytest.mark.parametrize("loss", [0.5, 5.0])
@pytest.mark.parametrize("sigma", [1.0, 0.5])
def test_a_unit_without_support_is_forgotten_and_the_others_move(sigma: float, loss: float, interval: int) -> None:
    """Whatever the loss does, at updates and between them."""
    method = SLR(sigma=sigma, ramp=NoRamp(), interval=interval)
    memory, mask = pushed(method, off=0.25, losses=(loss,))
    assert memory[DEAD].tolist() == [0.0] * 4
    assert memory[0, 2:].tolist() == [1 + 0.25 * sigma] * 2
    assert memory[2, [1, 3]].tolist() == pytest.approx([0.1 + 0.25 * sigma, 0.25 * sigma])
    if interval == 1:
        assert memory[0, :2].tolist() == [9.25, 8.25]
    assert mask.sum(1).tolist() == [2, 0, 2]


@pytest.mark.parametrize(("off", "moves"), [(0.74, True), (0.76, False), (-0.76, False), (0.0, True)])
@pytest.mark.parametrize("loss", [0.5, 5.0])
def test_a_unit_is_trusted_up_to_three_times_the_slope_on_its_support(off: float, moves: bool, loss: float) -> None:
    memory, mask = pushed(SLR(ramp=NoRamp()), off=off, losses=(loss,))
    for row in (0, 2):
        expected = WEIGHT[row] + (off if moves else 0.0)
        assert torch.allclose(memory[row][~mask[row]], expected[~mask[row]])
        assert torch.allclose(memory[row][mask[row]], WEIGHT[row][mask[row]] + 0.25)


def test_every_unit_is_judged_by_itself_by_the_root_mean_square() -> None:
    """Three entries on the support of row 0, one on that of row 1."""
    weight = torch.tensor([[5.0, 6.0, 7.0, 0.0], [8.0, 0.0, 0.0, 0.0]])
    mask = weight > 0
    on, off = torch.tensor([[0.1, 0.2, 0.2], [0.3, 0.0, 0.0]]), torch.tensor([[0.3, 0.0, 0.0], [0.3, 0.3, 0.2]])
    moved = weight.clone()
    moved[0] += torch.tensor([*on[0], off[0, 0]])
    moved[1] += torch.tensor([on[1, 0], *off[1]])
    problem = Problem(("w",), (moved,), ((Unstructured(0.5), (0,)),))
    ratios = [0.3 / math.sqrt((0.01 + 0.04 + 0.04) / 3), math.sqrt((0.09 + 0.09 + 0.04) / 3) / 0.3]
    for trust in (0.5, 0.95, 1.5, 2.0):
        (trusted,) = trusted_units(problem, [mask], [weight], trust)
        assert trusted is not None
        assert trusted.flatten().tolist() == [ratio <= trust for ratio in ratios]


def test_a_unit_that_is_kept_as_a_whole_is_trusted() -> None:
    weight = torch.tensor([[1.0, 2.0]])
    problem = Problem(("w",), (weight,), ((Unstructured(0.0), (0,)),))
    (trusted,) = trusted_units(problem, [torch.ones(1, 2, dtype=torch.bool)], [weight], 0.0)
    assert trusted is not None
    assert trusted.all()


def test_without_trust_all_units_move() -> None:
    """Dynamic pruning with feedback, as published."""
    memory, _ = pushed(SLR(trust=None, ramp=NoRamp()), off=2.0)
    assert torch.allclose(memory[DEAD], WEIGHT[DEAD] + 2.0)


@pytest.mark.parametrize("constraint", [Channel(2 / 3), Column(0.5), NM(2, 4), Block((3, 1), 0.5)], ids=repr)
def test_the_rule_is_the_same_for_every_set(constraint: ConstraintSet) -> None:
    for off, moves in ((0.7, True), (0.8, False)):
        memory, mask = pushed(SLR(ramp=NoRamp()), off=off, constraint=constraint)
        live = mask.any(1)
        expected = torch.where(live[:, None], WEIGHT + (off if moves else 0.0), 0.0)  # eq. 26
        assert torch.allclose(memory[~mask], expected[~mask])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_rounding_of_16_bit_weights_is_no_step(dtype: torch.dtype) -> None:
    """The memory on the support has digits that the weight has not."""
    memory, mask = torch.tensor([[1.0 + 2.0**-12, 0.0]]), torch.tensor([[True, False]])
    step = torch.finfo(dtype).eps
    weight = torch.tensor([[1.0, step]], dtype=dtype)
    problem = Problem(("w",), (weight,), ((Unstructured(0.5), (0,)),))
    (trusted,) = trusted_units(problem, [mask], [memory], 3.0)
    assert trusted is not None
    assert not trusted.any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_step_that_16_bits_cannot_hold_is_no_reason_for_distrust(dtype: torch.dtype) -> None:
    """On the support it is lost where the weight is large, off it every digit stays: equal slopes look unequal."""
    lost = torch.finfo(dtype).eps / 8
    weight = torch.tensor([[1.0, lost], [0.0, lost]], dtype=dtype)
    memory, mask = torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.tensor([[True, False], [False, False]])
    problem = Problem(("w",), (weight,), ((Unstructured(0.75), (0,)),))
    (trusted,) = trusted_units(problem, [mask], [memory], 3.0)
    assert trusted is not None
    assert trusted.flatten().tolist() == [True, False], "a unit without support still stands still"


def test_in_16_bits_as_many_units_are_trusted_as_in_32() -> None:
    """Slopes that are all as good as each other, with steps of a thousandth of the weights."""
    changes = []
    for dtype in (torch.float32, torch.bfloat16):
        torch.manual_seed(0)
        layer = nn.Linear(64, 64, bias=False)
        nn.init.normal_(layer.weight)
        layer.to(dtype)
        optimizer = torch.optim.SGD(layer.parameters(), lr=1e-3)
        pruner = Pruner(layer, optimizer, Unstructured(0.9), total_steps=40, method=SLR())
        slopes = torch.randn(64, 64)
        for _ in range(40):
            layer.weight.grad = (slopes + 0.5 * torch.randn(64, 64)).to(dtype)
            optimizer.step()
            pruner.step(0.0)
        changes.append(sum(record.mask_changes for record in pruner.records()[21:]))
    assert changes[0] > 0
    assert changes[1] >= changes[0] / 2


def test_a_unit_that_is_gone_stays_gone() -> None:
    """Its old weights do not come back when those of others fall below them (eq. 26): not even with momentum."""
    layer = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[4.0, 3.0], [2.0, 1.0]]))
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0, momentum=0.5)
    pruner = Pruner(layer, optimizer, {"weight": Unstructured(0.5)}, total_steps=3, method=SLR(ramp=NoRamp()))
    pruner.step(1.0)
    for gradient in ([[0.0, 2.5], [-0.25, -0.25]], [[0.0, -1.25], [-8.0, -8.0]]):
        layer.weight.grad = torch.tensor(gradient)
        optimizer.step()
        pruner.step(0.5)
        assert layer.weight.tolist() == [[4.0, 0.5], [0.0, 0.0]], "3 - 2.5 is below 2, and momentum and slope cancel"
    assert pruner.state_dict()["tensors"]["memory"]["weight"][1].tolist() == [0.0, 0.0]


def test_decay_shrinks_the_memory_of_units_whose_step_is_taken() -> None:
    for off, expected in ((0.25, (WEIGHT[0] + 0.25) / 2), (2.0, WEIGHT[0])):
        memory, mask = pushed(SLR(decay=0.5, ramp=NoRamp()), off=off)
        assert torch.allclose(memory[0][~mask[0]], expected[~mask[0]])


@pytest.mark.parametrize("slack", [0.0, 0.05])
def test_on_a_relaxed_path_every_unit_is_trusted(slack: float) -> None:
    """The network computes with beta times what is off the support, so that its gradient is one near the unit."""
    memories = []
    for trust in (0.0, None):
        layer = nn.Linear(4, 3, bias=False)
        with torch.no_grad():
            layer.weight.copy_(WEIGHT)
        optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
        method = SLR(trust=trust, ramp=RelaxedPath(begin=0.0, end=0.9, slack=slack))
        pruner = Pruner(layer, optimizer, {"weight": Unstructured(2 / 3)}, total_steps=10, method=method)
        for step in range(5):
            layer.weight.grad = torch.full_like(layer.weight, -0.01)
            optimizer.step()
            pruner.step(1.0 - step / 10)
        memories.append(pruner.state_dict()["tensors"]["memory"]["weight"])
    assert torch.allclose(*memories, rtol=1e-6)


@pytest.mark.parametrize("trust", [-0.1, math.nan])
def test_a_trust_that_is_none_is_refused(trust: float) -> None:
    with pytest.raises(ArgumentError, match=rf"SLR\(trust={trust}\): trust must be at least 0, or None to trust every"):
        SLR(trust=trust)


def test_units_lie_along_the_output_dimension() -> None:
    model = nn.ModuleDict(
        {
            "linear": nn.Linear(4, 3),
            "conv": nn.Conv2d(2, 3, 3),
            "transposed": nn.ConvTranspose2d(2, 3, 3),
            "grouped": nn.ConvTranspose2d(4, 4, 3, groups=4),
            "table": nn.Embedding(5, 4),
        }
    )
    rules = {"linear.bias": Unstructured(0.5), "table.weight": Unstructured(0.5), "*": Global(0.5)}
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    problem = Pruner(model, optimizer, rules, total_steps=2).problem
    assert dict(zip(problem.names, problem.unit_dims, strict=True)) == {
        "linear.weight": 0,
        "linear.bias": None,
        "conv.weight": 0,
        "transposed.weight": 1,
        "grouped.weight": None,
        "table.weight": None,
    }


def test_a_transposed_weight_has_its_units_in_the_second_dimension() -> None:
    mask = torch.zeros(2, 3, 2, dtype=torch.bool)
    mask[1, 2, 0] = True
    problem = Problem(("w",), (torch.ones(2, 3, 2),), ((Unstructured(0.5), (0,)),), unit_dims=(1,))
    (trusted,) = trusted_units(problem, [mask], [torch.zeros(2, 3, 2)], 3.0)
    assert trusted is not None
    assert trusted.shape == (1, 3, 1)
    assert trusted.flatten().tolist() == [False, False, True]


def test_a_unit_on_several_ranks_is_judged_by_all_of_its_parts() -> None:
    """Weights are cut along dimension 0: whole units where that is theirs, parts of each where it is not."""
    mask = torch.tensor([[True, False]])
    weight, memory = torch.tensor([[1.1, 0.2]]), torch.tensor([[1.0, 0.0]])
    # two such weights; for each: entries on the support, squares of the step on it, and of the whole step
    world = TwoRanks([0.0, 1.0, 0.0, 0.01, 0.5, 0.01, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0])
    groups = ((Unstructured(0.5), (0,)), (Unstructured(0.5), (1,)))
    both = Problem(("a", "b"), (weight, weight), groups, world, ((2, 2), (2, 2)), (1, 1))
    first, second = trusted_units(both, [mask, mask], [memory, memory], 3.0)
    assert first is not None
    assert second is not None
    # unit 0 has 0.01 on and 0.5 off its support, unit 1 0.01 on and 0.04 off it; then 0.01 and 0, and 0 and 0.04
    assert first.flatten().tolist() == [False, True]
    assert second.flatten().tolist() == [True, False]
    assert world.asked == 1
    rows = Problem(("a",), (weight,), groups[:1], world, ((2, 2),), (0,))
    (whole,) = trusted_units(rows, [mask], [memory], 3.0)
    assert whole is not None
    assert whole.flatten().tolist() == [True]
    assert world.asked == 1


@pytest.mark.parametrize("shape", [(0, 3), (2, 0)])
@pytest.mark.parametrize("dim", [0, 1])
def test_of_an_empty_slice_no_unit_is_trusted(shape: tuple[int, int], dim: int) -> None:
    weight = torch.ones(shape)
    problem = Problem(("w",), (weight,), ((Unstructured(0.5), (0,)),), unit_dims=(dim,))
    (trusted,) = trusted_units(problem, [weight.bool()], [weight], 3.0)
    assert trusted is not None
    assert not trusted.any()
    assert trusted.numel() == shape[dim]


def test_a_size_is_a_number_as_long_as_every_unit_may_move() -> None:
    trusted = torch.tensor([[True], [False]])
    assert of_units(0.5, None, 0.0, torch.float32) == 0.5
    sizes = of_units(torch.tensor(0.5, dtype=torch.float64), trusted, 0.0, torch.float32)
    assert isinstance(sizes, Tensor)
    assert sizes.dtype == torch.float32
    assert sizes.flatten().tolist() == [0.5, 0.0]
    for beta, expected in ((0.0, [0.5, 0.0]), (0.1, [0.5, 0.5])):
        sizes = of_units(0.5, trusted, torch.tensor(beta, dtype=torch.float64), torch.float32)
        assert isinstance(sizes, Tensor)
        assert sizes.flatten().tolist() == expected


def test_the_slope_of_a_filter_before_batchnorm_holds_at_zero_only() -> None:
    """Why there is the rule (docs/theory.md, section 6): torch's slope at zero is a hundred times too large."""
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
