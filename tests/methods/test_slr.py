"""SLR against the literal algorithm of the reference, with its accumulator A kept apart."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from two_weights import LR, STEPS, Two, trained

from slrprune import SLR, CosineStepsize, CubicRamp, DecayingStepsize, Global, NoRamp, Pruner, RelaxedPath, Unstructured
from slrprune.errors import ArgumentError
from slrprune.methods import ConstantStepsize, Ramp, RelativeStepsize
from slrprune.methods.base import Moment, Problem


def _literal(
    model: Two,
    sparsity: float,
    interval: int,
    sigma: Callable[[float, int, float], float],
    first: float,
    progress: Callable[[float], float],
    decay: float = 0.0,
    **options: float,
) -> tuple[list[Tensor], list[Tensor]]:
    """Section 7.2 of the reference, line by line: M, Z, R and the accumulator A are separate tensors."""
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, **options)
    weights = model.weights
    masks = [torch.ones_like(w) for w in weights]
    memory = [(1 - m) * w.detach() for m, w in zip(masks, weights, strict=True)]
    collected = [torch.zeros_like(w) for w in weights]
    stepsize, k = first, 0
    for step in range(1, STEPS + 1):
        optimizer.zero_grad()
        model().backward()
        optimizer.step()
        with torch.no_grad():
            for m, w, a in zip(masks, weights, collected, strict=True):
                a += (1 - m) * w
                w *= m
            if step % interval:
                continue
            k += 1
            stepsize = sigma(stepsize, k, step / STEPS)
            points = []
            for m, w, r, a in zip(masks, weights, memory, collected, strict=True):
                r += stepsize * a
                r *= 1 - decay
                a.zero_()
                points.append(m * w + r)
            kept = [
                m.to(w.dtype)
                for m, w in zip(Global(sparsity).at(progress(step / STEPS)).masks(points), weights, strict=True)
            ]
            for w, m, r, v in zip(weights, kept, memory, points, strict=True):
                w.copy_(m * v)
                r.copy_((1 - m) * v)
            masks = kept
    return [w.detach() for w in weights], memory


@pytest.mark.parametrize("interval", [1, 3])
@pytest.mark.parametrize("sigma", [1.0, 0.3, DecayingStepsize(1.0, M=5.0, r=0.2)])
@pytest.mark.parametrize("ramp", [CubicRamp(), NoRamp()])
def test_is_the_literal_algorithm(interval: int, sigma: float | DecayingStepsize, ramp: Ramp) -> None:
    rule = sigma if isinstance(sigma, RelativeStepsize) else ConstantStepsize(sigma)
    options = {"momentum": 0.9, "weight_decay": 0.01}
    model, literal = Two(), Two()
    pruner = trained(model, SLR(sigma=sigma, trust=None, garrote=None, interval=interval, ramp=ramp), **options)
    expected, memory = _literal(literal, 0.7, interval, rule.next, rule.first, ramp.progress, **options)
    for weight, other in zip(model.weights, expected, strict=True):
        assert torch.allclose(weight, other, rtol=1e-10, atol=1e-12)
        assert torch.equal(weight == 0, other == 0)
    stored = pruner.state_dict()["tensors"]
    for name, other in zip(("a.weight", "b.weight"), memory, strict=True):
        off = ~stored["mask"][name]
        assert torch.allclose(stored["memory"][name][off], other[off], rtol=1e-10, atol=1e-12)


def test_decay_shrinks_the_memory_once_per_update() -> None:
    model, literal = Two(), Two()
    trained(model, SLR(sigma=0.5, decay=0.1, trust=None, garrote=None, interval=2, ramp=NoRamp()))
    expected, _ = _literal(literal, 0.7, 2, lambda *_: 0.5, 0.5, lambda _: 1.0, decay=0.1)
    for weight, other in zip(model.weights, expected, strict=True):
        assert torch.allclose(weight, other, rtol=1e-10, atol=1e-12)


def test_sigma_of_one_is_dynamic_pruning_with_feedback() -> None:
    model, other = Two(), Two()
    pruner = trained(model, SLR(sigma=1.0, trust=None, garrote=None, ramp=NoRamp()))

    dense = [weight.detach().clone() for weight in other.weights]
    for _ in range(STEPS):
        gradients = torch.autograd.grad(other(), other.weights)
        dense = [d - LR * g for d, g in zip(dense, gradients, strict=True)]
        for weight, d, mask in zip(other.weights, dense, Global(0.7).masks(dense), strict=True):
            weight.data = d * mask
    for weight, expected in zip(model.weights, other.weights, strict=True):
        assert torch.allclose(weight, expected, rtol=1e-12, atol=1e-14)
    for memory, d, mask in zip(
        pruner.state_dict()["tensors"]["memory"].values(), dense, pruner.masks().values(), strict=True
    ):
        assert torch.allclose(memory[~mask], d[~mask], rtol=1e-12, atol=1e-14)


def test_relaxed_path_follows_its_formula() -> None:
    """The network computes with M V + beta (1 - M) V; beta falls from 1 to 0 with the square of the time left."""
    model, other = Two(), Two()
    ramp = RelaxedPath(begin=0.0, end=0.5, power=2.0)
    sigma = 0.3
    optimizer = torch.optim.SGD(model.parameters(), lr=LR)
    pruner = Pruner(
        model, optimizer, Global(0.7), total_steps=STEPS, method=SLR(sigma=sigma, trust=None, garrote=None, ramp=ramp)
    )

    points = [weight.detach().clone() for weight in other.weights]
    masks, beta = [torch.ones_like(point) for point in points], 0.0
    for step in range(1, STEPS + 1):
        loss = model()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        pruner.step(loss)

        gradients = torch.autograd.grad(other(), other.weights)
        moved = [w.detach() - LR * g for w, g in zip(other.weights, gradients, strict=True)]
        off = [v + sigma * (w - beta * v) for w, v in zip(moved, points, strict=True)]
        points = [m * w + (1 - m) * v for m, w, v in zip(masks, moved, off, strict=True)]
        masks = [mask.double() for mask in Global(0.7).masks(points)]
        beta = max(0.0, 1 - 2 * step / STEPS) ** 2
        for weight, m, v in zip(other.weights, masks, points, strict=True):
            weight.data = m * v + beta * (1 - m) * v
        for weight, expected in zip(model.weights, other.weights, strict=True):
            assert torch.allclose(weight, expected, rtol=1e-10, atol=1e-12), step
        is_dense = all(bool((weight != 0).all()) for weight in model.weights)
        assert is_dense is (step < STEPS // 2)


@pytest.mark.parametrize("slack", [0.1, 0.25, 0.5])
def test_a_path_with_slack_waits_for_the_condition(slack: float) -> None:
    """The clock stands still where condition 1 fails, and lags behind the run by `slack` at most."""
    steps, end = 40, 0.5
    ramp = RelaxedPath(end=end, power=1.0, slack=slack)
    weight = nn.Parameter(torch.tensor([4.0, 3.0, 2.0, 1.0], dtype=torch.float64))
    model = nn.Module()
    model.weight = weight
    optimizer = torch.optim.SGD([weight], lr=0.1)
    pruner = Pruner(
        model,
        optimizer,
        {"weight": Unstructured(0.5)},
        total_steps=steps,
        method=SLR(trust=None, garrote=None, ramp=ramp),
    )
    losses = [1.0 + 0.3 * math.sin(step / 3) for step in range(steps)]

    fast = slow = losses[0]
    clock, waited = 0.0, 0
    for step, loss in enumerate(losses, start=1):
        pruner.step(loss)  # no optimizer step: the weights move by relaxation alone
        fast, slow = fast + 0.05 * (loss - fast), slow + 0.005 * (loss - slow)
        clock = max(clock + (fast < slow) / steps, step / steps - slack)
        waited += fast >= slow
        beta = max(0.0, 1 - clock / end)
        assert pruner.records()[-1].first_condition == float(fast < slow)
        kept, faded = weight.detach()[:2], weight.detach()[2:]
        assert torch.equal(kept, torch.tensor([4.0, 3.0], dtype=torch.float64))
        assert torch.allclose(faded, beta * torch.tensor([2.0, 1.0], dtype=torch.float64), rtol=1e-9, atol=1e-12), step
        if step >= (end + slack) * steps:
            assert not faded.any()
    assert 5 < waited < 35  # both cases were met


@pytest.mark.parametrize("slack", [-0.1, 0.6, math.nan])
def test_slack_beyond_the_run_is_refused(slack: float) -> None:
    with pytest.raises(ArgumentError, match=rf"RelaxedPath\(slack={slack}\): slack must be in \[0, 0.5\]"):
        RelaxedPath(end=0.5, slack=slack)


def test_model_is_sparse_after_every_step_and_the_cut_changes_nothing() -> None:
    model = Two()
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=0.9)
    pruner = Pruner(model, optimizer, Global(0.7), total_steps=STEPS, method=SLR(interval=3))
    for step in range(1, STEPS + 1):
        loss = model()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        pruner.step(loss)
        kept = sum(int(mask.sum()) for mask in pruner.masks().values())
        updated = step - step % 3
        assert kept == 50 - round(50 * 0.7 * CubicRamp().progress(updated / STEPS) if updated else 0)
        for weight, mask in zip(model.weights, pruner.masks().values(), strict=True):
            assert not bool((weight[~mask] != 0).any())
    before = [weight.detach().clone() for weight in model.weights]
    pruner.finalize()
    assert all(torch.equal(old, new) for old, new in zip(before, model.weights, strict=True))


def test_early_cut_takes_what_the_memory_holds() -> None:
    """Off the support the memory may have outgrown the weights; the cut is the projection of Z + R, not of Z."""
    weight = torch.tensor([[4.0, 3.0, 0.0, 0.0]])
    problem = Problem(("w",), (weight,), ((Unstructured(0.5), (0,)),))
    method = SLR()
    state = method.start(problem)
    state.tensors["mask"] = [torch.tensor([[True, True, False, False]])]
    state.tensors["memory"] = [torch.tensor([[9.0, 9.0, 5.0, 1.0]])]
    state.progress = 0.5
    assert method.final_points(problem, state)[0].tolist() == [[4.0, 3.0, 5.0, 1.0]]
    assert method.final_masks(problem, state)[0].tolist() == [[True, False, True, False]]


def test_record_holds_the_residuals_of_the_update() -> None:
    weight = torch.tensor([[3.0, 1.0, -2.0, 0.5]])
    problem = Problem(("w",), (weight,), ((Unstructured(0.5), (0,)),))
    method = SLR(sigma=0.5, trust=None, garrote=None, ramp=NoRamp())
    state = method.start(problem)
    first = method.update(problem, state, _moment(1))
    assert float(first.device["primal_residual"]) == pytest.approx(math.sqrt(1 + 0.25))  # W' - Z
    assert float(first.device["dual_residual"]) == pytest.approx(math.sqrt(1 + 0.25))  # Z - Z before, the dense weights
    assert int(first.device["mask_changes"]) == 2
    assert float(first.device["sparsity"]) == 0.5
    weight.copy_(torch.tensor([[3.5, 6.0, -2.0, 0.0]]))  # training moved the first entry, and pushes the second
    second = method.update(problem, state, _moment(2))
    # V = [3.5, 1 + 0.5 * 6, -2, 0.5], so Z = [3.5, 4, 0, 0] and Z before = [3, 0, -2, 0]
    assert weight.tolist() == [[3.5, 4.0, 0.0, 0.0]]
    assert float(second.device["primal_residual"]) == pytest.approx(math.sqrt(2**2 + 2**2))
    assert float(second.device["dual_residual"]) == pytest.approx(math.sqrt(0.5**2 + 4**2 + 2**2))
    assert int(second.device["mask_changes"]) == 2
    assert second.host == {"stepsize": 0.5}


def test_first_condition_compares_a_short_and_a_long_average_of_the_loss() -> None:
    weight = torch.ones(1, 4)
    problem = Problem(("w",), (weight,), ((Unstructured(0.5), (0,)),))
    method = SLR()
    state = method.start(problem)
    fast = slow = 2.0
    for step, loss in enumerate((2.0, 1.0, 1.0, 9.0), start=1):
        seen = method.update(problem, state, _moment(step, loss))
        fast, slow = fast + 0.05 * (loss - fast), slow + 0.005 * (loss - slow)
        assert float(seen.device["loss"]) == pytest.approx(fast)
        assert bool(seen.device["first_condition"]) is (fast < slow)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_memory_of_16_bit_weights_is_float32(dtype: torch.dtype) -> None:
    """Steps of 1/1000 of the memory's size: a 16-bit memory would lose every one of them."""
    weight = torch.tensor([[4.0, 1.0]], dtype=dtype)
    problem = Problem(("w",), (weight,), ((Unstructured(0.5), (0,)),))
    method = SLR(sigma=1.0, trust=None, garrote=None, ramp=NoRamp())
    state = method.start(problem)
    method.update(problem, state, _moment(1))
    for step in range(2, 102):
        weight[0, 1] = 0.0001
        method.update(problem, state, _moment(step))
    assert state.tensors["memory"][0].dtype is torch.float32
    assert float(state.tensors["memory"][0][0, 1]) == pytest.approx(1.01, rel=1e-3)
    assert weight.dtype is dtype


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SLR(sigma=0.0), r"^SLR\(sigma=0.0\): sigma must be in \(0, 1\]"),
        (
            lambda: SLR(sigma=1.5),
            r"^SLR\(sigma=1\.5\): sigma must be in \(0, 1\]\. 1 is ADMM's unit step; smaller is more",
        ),
        (lambda: SLR(sigma=2), r"^SLR\(sigma=2\): sigma must be in"),
        (lambda: SLR(sigma="0.5"), r"^SLR\(sigma='0\.5'\): sigma must be in"),  # type: ignore[arg-type]
        (lambda: SLR(sigma=math.nan), r"sigma must be in \(0, 1\]"),
        (lambda: SLR(decay=1.0), r"SLR\(decay=1.0\): decay must be in \[0, 1\)"),
        (lambda: SLR(interval=True), r"SLR\(interval=True\): interval must be an integer of at least 1"),
        (lambda: SLR(ramp=0.5), r"SLR\(ramp=0.5\): ramp must be a Ramp\. Take CubicRamp"),  # type: ignore[arg-type]
    ],
)
def test_refuses(make: Callable[[], SLR], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        make()


def test_cosine_stepsize_runs_through_the_method() -> None:
    pruner = trained(Two(), SLR(sigma=CosineStepsize(1.0, 0.1), trust=None, garrote=None))
    stepsizes = [record.stepsize for record in pruner.records()]
    assert stepsizes[-1] == pytest.approx(0.1)
    assert stepsizes == sorted(stepsizes, reverse=True)


def _moment(step: int, loss: float = 1.0) -> Moment:
    return Moment(step, min(1.0, step / 10), torch.tensor(loss, dtype=torch.float64), (0.1,))


def test_whole_numbers_are_the_same_setting() -> None:
    """States and records are compared by their text."""
    assert repr(SLR(sigma=1, trust=3, tolerance=1)) == repr(SLR(sigma=1.0, trust=3.0, tolerance=1.0))
