"""The augmented Lagrangian's parts against autograd and plain Python: pull, penalty, norms."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from slrprune import ADMM, ClassicSLR, Method, NoRamp, OneShot, Pruner, QuadraticPenalty, Unstructured
from slrprune.methods.base import MethodState, Moment, Problem, mask_counts
from slrprune.methods.lagrangian import LagrangianMethod, terms
from slrprune.methods.masked import keep_

RHO = 0.7
COUPLED = [
    ADMM(penalty=RHO, coupled=True, ramp=NoRamp()),
    ClassicSLR(penalty=RHO, coupled=True),
    QuadraticPenalty(penalty=RHO, coupled=True, ramp=NoRamp()),
]


def _random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _problem() -> Problem:
    weights = (_random(3, 4, seed=1).requires_grad_(), _random(2, 3, seed=2).requires_grad_())
    return Problem(("a", "b"), weights, ((Unstructured(0.5), (0,)), (Unstructured(0.5), (1,))))


def _state(problem: Problem, method: LagrangianMethod) -> MethodState:
    """A state with multipliers that are not zero."""
    with torch.no_grad():
        state = method.start(problem)
    for position, values in enumerate(state.tensors.get("multipliers", [])):
        values.copy_(_random(*values.shape, seed=10 + position))
    return state


def _moment(*lrs: float) -> Moment:
    return Moment(1, 0.1, torch.zeros((), dtype=torch.float64), lrs)


@pytest.mark.parametrize("method", COUPLED, ids=lambda method: type(method).__name__)
def test_penalty_and_its_gradient(method: LagrangianMethod) -> None:
    """<Lambda, W - Z> + rho/2 ||W - Z||^2, whose gradient in W is rho (W - Z) + Lambda."""
    problem = _problem()
    state = _state(problem, method)
    value = method.penalty_value(problem, state, 0.1)
    gradients = torch.autograd.grad(value, problem.weights)
    expected = 0.0
    for position, (weight, gradient) in enumerate(zip(problem.weights, gradients, strict=True)):
        residual = weight.detach() - state.tensors["auxiliary"][position]
        multipliers = state.tensors["multipliers"][position] if "multipliers" in state.tensors else 0 * residual
        assert torch.allclose(gradient, RHO * residual + multipliers, rtol=1e-12, atol=0)
        rows = zip(residual.flatten().tolist(), multipliers.flatten().tolist(), strict=True)
        expected += sum(c * r + RHO / 2 * r * r for r, c in rows)
    assert value.item() == pytest.approx(expected, rel=1e-12)
    assert value.ndim == 0


@pytest.mark.parametrize("method", COUPLED, ids=lambda method: type(method).__name__)
def test_pull_solves_its_proximal_problem(method: LagrangianMethod) -> None:
    """Equation 13: at the new W, (W - W_before)/lr + rho (W - Z) + Lambda = 0, for each layer's own lr."""
    method = replace(method, coupled=False)
    problem = _problem()
    state = _state(problem, method)
    before = [weight.detach().clone() for weight in problem.weights]
    lrs = (0.3, 40.0)  # however large, the step is stable
    with torch.no_grad():
        method.hold(problem, state, _moment(*lrs))
    for position, (weight, old, lr) in enumerate(zip(problem.weights, before, lrs, strict=True)):
        multipliers = state.tensors["multipliers"][position] if "multipliers" in state.tensors else 0.0
        stationary = (weight - old) / lr + RHO * (weight - state.tensors["auxiliary"][position]) + multipliers
        assert torch.allclose(stationary, torch.zeros_like(stationary), atol=1e-12)


def test_coupled_form_leaves_the_weights_to_the_optimizer() -> None:
    problem = _problem()
    method = COUPLED[0]
    state = _state(problem, method)
    before = [weight.detach().clone() for weight in problem.weights]
    with torch.no_grad():
        method.hold(problem, state, _moment(0.3, 0.3))
    assert all(torch.equal(a, b) for a, b in zip(before, problem.weights, strict=True))


def test_coupled_and_decoupled_agree_for_small_steps() -> None:
    """Plain SGD on loss + penalty is the explicit step of which the pull is the implicit one: equal to first order."""
    results = []
    for coupled in (True, False):
        model = nn.Linear(6, 4, bias=False, dtype=torch.float64)
        model.weight.data.copy_(_random(4, 6, seed=3))
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
        method = ADMM(penalty=RHO, interval=5, ramp=NoRamp(), coupled=coupled)
        pruner = Pruner(model, optimizer, Unstructured(0.5), total_steps=20, method=method)
        start = model.weight.detach().clone()
        for _ in range(20):
            loss = (model.weight - 1).square().sum()
            optimizer.zero_grad()
            (loss + pruner.penalty() if coupled else loss).backward()
            optimizer.step()
            pruner.step(loss)
        results.append(model.weight.detach() - start)
    assert torch.allclose(*results, rtol=1e-3, atol=1e-7)


def test_multipliers_carry_no_autograd_graph() -> None:
    """In the public code they did, and every update made the penalty's gradient grow."""
    model = nn.Linear(6, 4, bias=False, dtype=torch.float64)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    pruner = Pruner(model, optimizer, Unstructured(0.5), total_steps=8, method=ClassicSLR(interval=1, coupled=True))
    for _ in range(8):
        value = pruner.penalty()
        value.backward()
        pruner.step(1.0)
        assert not any(tensor.requires_grad for tensors in pruner._state.tensors.values() for tensor in tensors)
        model.weight.grad = None
    tensors = pruner._state.tensors
    pruner.penalty().backward()
    rho = pruner.method.rho(1.0)  # type: ignore[attr-defined]
    expected = rho * (model.weight.detach() - tensors["auxiliary"][0]) + tensors["multipliers"][0]
    assert model.weight.grad is not None
    assert torch.allclose(model.weight.grad, expected)


def test_terms_by_hand() -> None:
    weights = [torch.tensor([[3.0, 4.0]]), torch.tensor([[12.0]])]
    zeros = [torch.zeros(1, 2), torch.zeros(1, 1)]
    multipliers = [torch.tensor([[1.0, -1.0]]), torch.tensor([[0.5]])]
    stacked = terms(weights, zeros, multipliers)
    assert (float(stacked.inner), float(stacked.squared), float(stacked.norm)) == (5.0, 169.0, 13.0)
    summed = terms(weights, zeros, multipliers, summed=True)
    assert (float(summed.inner), float(summed.squared), float(summed.norm)) == (5.0, 169.0, 17.0)
    assert float(stacked.value(2.0)) == 5 + 169
    assert float(terms(weights, zeros, None).inner) == 0
    assert stacked.norm.dtype is torch.float64


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_norms_of_16_bit_weights_are_summed_in_32_bits(dtype: torch.dtype) -> None:
    """3008 entries of 1/16: no 16-bit number is near enough to their norm, nor to their sum."""
    weight = torch.full((64, 47), 1 / 16, dtype=dtype)
    found = terms([weight], [torch.zeros_like(weight)], [torch.full_like(weight, 17 / 16)])
    assert float(found.norm) == pytest.approx(math.sqrt(3008) / 16, rel=1e-6)
    assert float(found.inner) == pytest.approx(3008 * 17 / 256, rel=1e-6)


def test_keep_writes_positive_zero_over_everything() -> None:
    weight = torch.tensor([1.0, -1.0, math.nan, -0.0, math.inf])
    keep_(weight, torch.tensor([True, False, False, False, False]))
    assert weight.tolist() == [1.0, 0.0, 0.0, 0.0, 0.0]
    assert not torch.signbit(weight).any()


def test_mask_counts() -> None:
    old = [torch.tensor([True, True, False]), torch.tensor([True])]
    new = [torch.tensor([True, False, True]), torch.tensor([False])]
    counts = mask_counts(old, new, torch.device("cpu"))
    assert {name: float(value) for name, value in counts.items()} == {"sparsity": 0.5, "mask_changes": 3.0}


@pytest.mark.parametrize(
    ("method", "expected"),
    [(OneShot(), False), *((method, True) for method in COUPLED)],
    ids=lambda value: type(value).__name__,
)
def test_is_coupled(method: Method, expected: bool) -> None:
    assert method.is_coupled is expected
