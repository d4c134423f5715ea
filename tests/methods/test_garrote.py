"""Kept weights come and go at zero: SLR's garrote against slow versions of equations 27 and 28, and what follows."""

import math
from collections.abc import Callable

import pytest
import torch
from two_weights import LR, STEPS, Two

from slrprune import (
    NM,
    SLR,
    Block,
    Channel,
    Column,
    CubicRamp,
    Global,
    KernelPattern,
    NoRamp,
    Pruner,
    RelaxedPath,
    Unstructured,
)
from slrprune.errors import ArgumentError, UsageError
from slrprune.methods import Ramp
from slrprune.methods.base import Moment, Problem
from slrprune.sets import ConstraintSet
from slrprune.sets.knapsack import Knapsack


def _degree(product: float, steps: int) -> float:
    """The power of two nearest to the quotient, on the scale of its exponents, from 8 to 2^20."""
    return min(max(8.0, 2.0 ** round(math.log2(product / steps))), 2.0**20)


def _slow(value: float, strength: float, threshold: float, degree: float, beta: float = 0.0) -> float:
    """Equation 27 for one kept entry, by plain numbers."""
    return value * (1 - (1 - beta) * (threshold / strength) ** degree)


def _block_norms(weight: torch.Tensor, rows: int) -> torch.Tensor:
    """For each entry the norm of its block of `rows` rows and one column, block by block."""
    found = torch.zeros_like(weight)
    for first in range(0, weight.shape[0], rows):
        for column in range(weight.shape[1]):
            block = weight[first : first + rows, column]
            found[first : first + rows, column] = math.sqrt(sum(float(value) ** 2 for value in block))
    return found


@pytest.mark.parametrize("product", [20_000.0, 400.0, 1.0])
@pytest.mark.parametrize("interval", [1, 3])
@pytest.mark.parametrize("ramp", [CubicRamp(), NoRamp()])
@pytest.mark.parametrize("make", [lambda: Unstructured(0.7), lambda: Block((5, 1), 0.7)], ids=["entries", "blocks"])
def test_is_the_literal_algorithm(make: Callable[[], ConstraintSet], ramp: Ramp, interval: int, product: float) -> None:
    """One weight; every part of the state is kept apart, V as well."""
    sigma, options = 0.5, {"momentum": 0.9, "weight_decay": 0.01}
    model, other = Two(), Two()
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, **options)
    method = SLR(sigma=sigma, trust=None, garrote=product, interval=interval, ramp=ramp)
    pruner = Pruner(model, optimizer, {"a.weight": make()}, total_steps=STEPS, method=method)
    for _ in range(STEPS):
        loss = model()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        pruner.step(loss)

    weight, degree = other.a.weight, _degree(product, STEPS)
    optimizer = torch.optim.SGD(other.parameters(), lr=LR, **options)
    point, feasible = weight.detach().clone(), weight.detach().clone()
    mask, collected = torch.ones_like(weight, dtype=torch.bool), torch.zeros_like(weight)
    for step in range(1, STEPS + 1):
        optimizer.zero_grad()
        other().backward()
        optimizer.step()
        with torch.no_grad():
            collected += torch.where(mask, 0.0, weight)
            weight.copy_(torch.where(mask, weight, 0.0))
            if step % interval:
                continue
            point += torch.where(mask, weight - feasible, sigma * collected)
            collected.zero_()
            constraint = make().at(ramp.progress(step / STEPS))
            mask = constraint.mask(point)
            strengths = point.abs() if isinstance(constraint, Unstructured) else _block_norms(point, 5)
            threshold = max(
                [float(s) for s, m in zip(strengths.flatten(), mask.flatten(), strict=True) if not m] or [0]
            )
            for i, j in mask.nonzero().tolist():
                feasible[i, j] = _slow(float(point[i, j]), float(strengths[i, j]), threshold, degree)
            feasible[~mask] = 0
            weight.copy_(feasible)
    assert torch.equal(pruner.masks()["a.weight"], mask)
    assert torch.allclose(model.a.weight, weight, rtol=1e-9, atol=1e-12)
    assert torch.allclose(pruner.state_dict()["tensors"]["memory"]["a.weight"], point, rtol=1e-9, atol=1e-12)
    assert degree > 100 or not torch.allclose(feasible, torch.where(mask, point, 0.0), rtol=1e-3)  # not for nothing


def test_an_entry_comes_and_goes_at_zero() -> None:
    """While one entry grows slowly past another, no weight of the network jumps; without the garrote both do."""
    jumps = {}
    for product in (20_000.0, None):
        weight = torch.tensor([[2.0, 1.0, 0.9, 0.1]], dtype=torch.float64)
        problem = Problem(("w",), (weight,), ((Unstructured(0.5), (0,)),))
        method = SLR(trust=None, garrote=product, ramp=NoRamp())
        state, before, largest = method.start(problem), None, 0.0
        for step in range(1, 201):
            if step > 1:
                weight[0, 2 if not state.tensors["mask"][0][0, 2] else 1] += 0.001
                weight[0, 2] += 0.001 * float(state.tensors["mask"][0][0, 2])
            method.update(problem, state, Moment(step, step / 1000, torch.tensor(1.0, dtype=torch.float64), (0.1,)))
            if before is not None:
                largest = max(largest, float((weight - before).abs().max()))
            before = weight.clone()
        assert state.tensors["mask"][0].tolist() == [[True, False, True, False]]
        jumps[product] = largest
    assert jumps[None] > 0.9
    assert jumps[20_000.0] < 0.06


@pytest.mark.parametrize(
    ("steps", "degree"), [(76, 256), (312, 64), (468, 32), (936, 16), (1560, 16), (3900, 8), (1_000_000, 8), (1, 16384)]
)
def test_the_degree_follows_the_length_of_the_run(steps: int, degree: float) -> None:
    weight = torch.tensor([[4.0, 3.0, 2.0, 1.0]])
    problem = Problem(("w",), (weight,), ((Unstructured(0.5), (0,)),))
    method = SLR(ramp=NoRamp())
    state = method.start(problem)
    method.update(problem, state, Moment(1, 1 / steps, torch.tensor(1.0, dtype=torch.float64), (0.1,)))
    assert state.numbers["degree"] == degree == _degree(20_000.0, steps)
    assert weight[0].tolist() == pytest.approx([_slow(v, v, 2.0, degree) for v in (4.0, 3.0)] + [0.0, 0.0])


@pytest.mark.parametrize(
    "constraint",
    [
        Unstructured(0.6),
        Global(0.6),
        Global(0.6, allocation="lamp"),
        Global(0.6, allocation="erk"),
        Global(0.8, floor=1.0),
        Knapsack(900, (3, 1), floor=0.2),
        Block((4, 1), 0.6),
        Block((2, 2), 0.5),
        Block((1,), 0.5),
    ],
    ids=repr,
)
def test_what_is_kept_is_at_least_as_strong_as_what_is_cut(constraint: ConstraintSet) -> None:
    generator = torch.Generator().manual_seed(0)
    for scale in (1.0, 1e-22, 3e-23, 1e-30, 1e20):
        weights = [scale * torch.randn(shape, generator=generator) for shape in ((8, 6, 3, 3), (16, 4))]
        masks = constraint.select(weights)
        for weight, mask in zip(weights, masks, strict=True):
            strengths = constraint.strengths(weight)
            assert strengths is not None
            assert strengths.shape == weight.shape
            assert strengths.data_ptr() != weight.data_ptr()
            assert mask.all() or float(strengths[mask].min()) >= float(strengths[~mask].max())


def test_strengths_of_blocks_are_their_norms() -> None:
    weight = torch.randn(8, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = Block((4, 1), 0.5).strengths(weight)
    assert found is not None
    assert torch.allclose(found, _block_norms(weight, 4), rtol=1e-12, atol=0)


_ALONE: list[tuple[ConstraintSet, tuple[int, ...], int]] = [
    (NM(2, 4), (3, 8), 4),
    (NM(1, 3, dim=-1), (2, 2, 6), 3),
    (KernelPattern(), (2, 2, 3, 3), 9),
    (KernelPattern((((True, False), (False, True)), ((False, True), (True, True)))), (2, 3, 2, 2), 4),
]
"""Sets whose groups decide alone, the shape of a weight, and how many of its entries in a row make a group."""


def _slow_thresholds(constraint: ConstraintSet, point: torch.Tensor, mask: torch.Tensor, size: int) -> torch.Tensor:
    """For every kept entry the magnitude at which the projection lets go of it, by bisection; 0 where it never does."""
    found = torch.zeros_like(point).view(-1)
    for index in mask.view(-1).nonzero().flatten().tolist():
        group = index // size * size
        if bool(mask.view(-1)[group : group + size].all()):
            continue
        low, high = 0.0, abs(float(point.view(-1)[index]))  # cut at the first, kept at the second
        for _ in range(45):
            middle = (low + high) / 2
            moved = point.clone()
            moved.view(-1)[index] = middle
            low, high = (low, middle) if bool(constraint.mask(moved).view(-1)[index]) else (middle, high)
        found[index] = high
    return found.view(point.shape)


@pytest.mark.parametrize(("constraint", "shape", "size"), _ALONE, ids=lambda value: repr(value)[:30])
def test_thresholds_are_where_the_projection_lets_go(
    constraint: ConstraintSet, shape: tuple[int, ...], size: int
) -> None:
    generator = torch.Generator().manual_seed(0)
    for scale in (1.0, 1e-30, 1e20):
        point = scale * torch.randn(shape, generator=generator, dtype=torch.float64)
        for progress in (1.0, 0.5):
            mask = constraint.at(progress).mask(point)
            found = constraint.thresholds(point, mask)
            expected = _slow_thresholds(constraint, point, mask, size)
            assert torch.allclose(found[mask], expected[mask], rtol=1e-6, atol=1e-7 * scale)
            if point.dim() == 4:
                laid_out = point.to(memory_format=torch.channels_last)
                assert torch.equal(constraint.thresholds(laid_out, constraint.at(progress).mask(laid_out)), found)
            assert float(expected.max()) > 0
    weight = torch.randn(shape, generator=generator).bfloat16()
    found = constraint.thresholds(weight, constraint.mask(weight))
    assert (found.dtype, found.shape) == (weight.dtype, weight.shape)


@pytest.mark.parametrize("dim", [0, 1, 2, -2])
def test_thresholds_of_groups_along_any_dimension(dim: int) -> None:
    weight = torch.randn(4, 8, 4, 4, generator=torch.Generator().manual_seed(5))
    last = weight.movedim(dim, -1)
    expected = NM(1, 4, dim=-1).thresholds(last, NM(1, 4, dim=-1).mask(last)).movedim(-1, dim)
    for laid_out in (weight, weight.to(memory_format=torch.channels_last)):
        assert torch.equal(NM(1, 4, dim=dim).thresholds(laid_out, NM(1, 4, dim=dim).mask(laid_out)), expected)


@pytest.mark.parametrize("interval", [1, 3])
@pytest.mark.parametrize(("constraint", "shape", "size"), _ALONE, ids=lambda value: repr(value)[:30])
def test_is_the_literal_algorithm_where_groups_decide_alone(
    constraint: ConstraintSet, shape: tuple[int, ...], size: int, interval: int
) -> None:
    """As above, with random steps in place of an optimizer's."""
    steps, sigma = 12, 0.5
    generator = torch.Generator().manual_seed(4)
    weight = torch.randn(shape, generator=generator, dtype=torch.float64)
    point, start, feasible, collected = weight.clone(), weight.clone(), weight.clone(), torch.zeros_like(weight)
    problem = Problem(("w",), (weight,), ((constraint, (0,)),))
    method = SLR(sigma=sigma, trust=None, garrote=8.0 * steps, interval=interval)
    state, mask, shrunk = method.start(problem), torch.ones_like(weight, dtype=torch.bool), 0
    for step in range(1, steps + 1):
        move = 0.1 * torch.randn(shape, generator=generator, dtype=torch.float64)
        weight += move
        moment = Moment(step, step / steps, torch.tensor(1.0, dtype=torch.float64), (0.1,))
        (method.hold if step % interval else method.update)(problem, state, moment)
        trained = feasible + move
        collected += torch.where(mask, 0.0, trained)
        feasible = torch.where(mask, trained, 0.0)
        if step % interval == 0:
            point += torch.where(mask, feasible - start, sigma * collected)
            collected.zero_()
            mask = constraint.at(method.ramp.progress(step / steps)).mask(point)
            thresholds = _slow_thresholds(constraint, point, mask, size)
            factor = 1 - (thresholds / point.abs()) ** 8
            shrunk += int((factor[mask] < 0.9).sum())
            feasible = start = torch.where(mask, point * factor, 0.0)
        assert torch.allclose(weight, feasible, rtol=1e-5, atol=1e-6)
        assert torch.equal(state.tensors["mask"][0], mask)
    assert shrunk > 5


@pytest.mark.parametrize("constraint", [Channel(0.5), Column(0.5), NM(2, 4) & Channel(0.5)], ids=repr)
def test_other_sets_shrink_nothing(constraint: ConstraintSet) -> None:
    weights = []
    for product in (20_000.0, None):
        torch.manual_seed(0)
        layer = torch.nn.Conv2d(8, 8, 3)
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
        method = SLR(garrote=product)
        pruner = Pruner(layer, optimizer, {"weight": constraint}, total_steps=12, method=method)
        for _ in range(12):
            loss = layer(torch.randn(2, 8, 5, 5)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            pruner.step(loss)
        weights.append(layer.weight.detach().clone())
    assert constraint.strengths(weights[0]) is None
    assert not constraint.groups_decide_alone
    with pytest.raises(UsageError, match="do not decide alone"):
        constraint.thresholds(weights[0], constraint.mask(weights[0]))
    assert torch.equal(*weights)


def test_on_a_relaxed_path_an_entry_changes_sides_at_beta() -> None:
    """Kept and cut entries next to the threshold are both worth beta times their point."""
    weight = torch.tensor([[4.0, 1.0 + 1e-9, 1.0, 0.5]], dtype=torch.float64)
    points = weight.clone()
    problem = Problem(("w",), (weight,), ((Unstructured(0.5), (0,)),))
    method = SLR(ramp=RelaxedPath(begin=0.0, end=0.5, power=1.0))
    method.update(problem, method.start(problem), Moment(1, 0.1, torch.tensor(1.0, dtype=torch.float64), (0.1,)))
    assert weight[0, 1:].tolist() == pytest.approx((0.8 * points[0, 1:]).tolist(), rel=1e-6)
    assert float(weight[0, 0]) == pytest.approx(4.0, rel=1e-3)


@pytest.mark.parametrize("constraint", [Unstructured(0.5), NM(2, 4)], ids=repr)
def test_a_step_that_is_not_finite_leaves_the_last_good_point(constraint: ConstraintSet) -> None:
    for interval in (1, 2):
        weight = torch.tensor([[4.0, 1.1, 1.0, 0.5]])
        problem = Problem(("w",), (weight,), ((constraint, (0,)),))
        method = SLR(ramp=NoRamp(), interval=interval, garrote=160.0)  # of degree 16
        state = method.start(problem)
        method.update(problem, state, Moment(1, 0.1, torch.tensor(1.0, dtype=torch.float64), (0.1,)))
        good = weight.clone()
        assert 0 < float(good[0, 1]) < 1.1
        for call in (method.hold, method.update):
            weight.fill_(math.nan)
            call(
                problem,
                state,
                Moment(2, 0.2, torch.tensor(math.nan, dtype=torch.float64), (0.1,), is_usable=torch.tensor(False)),
            )
            assert torch.equal(weight, good)
        if constraint.groups_decide_alone:
            assert state.tensors["thresholds"][0].tolist() == [[1.0] * 4]
        else:
            assert float(state.scalars["threshold_0"]) == 1.0


@pytest.mark.parametrize("constraint", [Unstructured(0.5), NM(2, 4)], ids=repr)
def test_a_step_that_is_not_finite_leaves_thresholds_that_the_memory_has_left_behind(constraint: ConstraintSet) -> None:
    """Since the last update the memory has moved: thresholds by the memory of now would be others."""
    weight = torch.tensor([[4.0, 1.1, 1.0, 0.5]])
    problem = Problem(("w",), (weight,), ((constraint, (0,)),))
    method = SLR(trust=None, ramp=NoRamp(), interval=2, garrote=160.0)
    state, one = method.start(problem), torch.tensor(1.0, dtype=torch.float64)
    method.update(problem, state, Moment(1, 0.1, one, (0.1,), is_usable=torch.tensor(True)))
    good = weight.clone()
    weight[0, 2] += 0.07
    method.hold(problem, state, Moment(2, 0.2, one, (0.1,), is_usable=torch.tensor(True)))
    weight.fill_(math.nan)
    method.update(problem, state, Moment(3, 0.3, one * math.nan, (0.1,), is_usable=torch.tensor(False)))
    assert torch.equal(weight, good)


def test_a_16_bit_weight_loses_nothing_by_starting_from_a_rounded_value() -> None:
    """Steps on the support that the weight can hold reach V whole, however Z was rounded."""
    weight = torch.tensor([[4.0, 1.06, 1.0, 0.5]], dtype=torch.bfloat16)
    problem = Problem(("w",), (weight,), ((Unstructured(0.5), (0,)),))
    method = SLR(ramp=NoRamp(), garrote=1600.0)  # of degree 16
    state = method.start(problem)
    first = float(weight[0, 1])
    for step in range(1, 101):
        method.update(problem, state, Moment(step, step / 100, torch.tensor(1.0, dtype=torch.float64), (0.1,)))
    assert float(state.tensors["memory"][0][0, 1]) == first  # a hundred updates without a step
    assert 0 < float(weight[0, 1]) < first


@pytest.mark.parametrize("scale", [1.0, 1e-22, 3e-23, 1e20])
@pytest.mark.parametrize(
    "make",
    [lambda: Unstructured(0.5), lambda: Block((4, 1), 0.5), lambda: NM(2, 4)],
    ids=["entries", "blocks", "groups"],
)
def test_values_are_shrunk_and_never_turned(make: Callable[[], ConstraintSet], scale: float) -> None:
    """Also where squares leave the range of float32."""
    weight = scale * torch.randn(16, 16, generator=torch.Generator().manual_seed(2))
    before = weight.clone()
    problem = Problem(("w",), (weight,), ((make(), (0,)),))
    method = SLR(ramp=NoRamp())
    state = method.start(problem)
    method.update(problem, state, Moment(1, 1 / 1000, torch.tensor(1.0, dtype=torch.float64), (0.1,)))
    share = (weight / before)[state.tensors["mask"][0]]
    assert bool(torch.isfinite(share).all())
    assert 0 <= float(share.min()) < 0.9 < float(share.max()) <= 1


@pytest.mark.parametrize("garrote", [5e-324, 1e308])
def test_takes_any_positive_number(garrote: float) -> None:
    problem = Problem(("w",), (torch.tensor([[2.0, 1.0]]),), ((Unstructured(0.5), (0,)),))
    method = SLR(garrote=garrote, ramp=NoRamp())
    state = method.start(problem)
    method.update(problem, state, Moment(1, 1e-6, torch.tensor(1.0, dtype=torch.float64), (0.1,)))
    assert state.numbers["degree"] == (8.0 if garrote < 1 else 2.0**20)


@pytest.mark.parametrize("value", [0.0, -1.0, math.inf, math.nan])
def test_refuses(value: float) -> None:
    with pytest.raises(ArgumentError, match=r"SLR\(garrote=.*\): garrote must be a finite number above 0, or None"):
        SLR(garrote=value)
