"""ClassicSLR against the equations of docs/theory.md, section 3, worked out a second time in plain Python.

The second working keeps what the implementation avoids: copies of W_{k-1} and Z_{k-1}, and the whole Lagrangian with f
on both sides of each condition.
"""

import math
from collections.abc import Sequence
from itertools import product

import pytest
import torch
from torch import Tensor, nn

from slrprune import ClassicSLR, ConstantPenalty, Pruner, Unstructured
from slrprune.errors import ArgumentError
from slrprune.methods import Counting, Numerator, OnFailure
from slrprune.methods.base import MethodState, Moment, Problem

Layers = list[list[float]]
RHO, S0, M, R = 0.5, 0.2, 20.0, 0.3

# Two layers of two weights; Unstructured(0.5) keeps the larger of each. One row per iteration: the weights that
# training has reached, and f there.
START: Layers = [[3.0, 1.0], [0.5, -2.0]]
PATH: list[tuple[Layers, float]] = [
    ([[2.5, 1.2], [0.4, -1.8]], 1.0),  # k = 1: both conditions hold by decree
    ([[2.6, 0.6], [0.2, -1.7]], 0.9),  # k = 2: f falls, the residual too
    ([[1.0, 1.6], [0.9, -1.2]], 5.0),  # k = 3: f jumps, condition 1 fails; the support of the first layer moves
    ([[1.0, 1.4], [0.3, -1.4]], 0.4),  # k = 4
    ([[0.0, 1.5], [0.0, -1.3]], 0.3),  # k = 5: one weight of each layer is zero
    ([[0.1, 1.3], [0.2, -1.2]], 0.2),  # k = 6
]


class Reference:
    """The published iteration on lists of numbers."""

    def __init__(self, numerator: Numerator, counting: Counting, on_failure: OnFailure, summed: bool) -> None:
        self.numerator, self.counting, self.on_failure, self.summed = numerator, counting, on_failure, summed
        self.w_before, self.z = START, self.project(START)
        self.multipliers: Layers = [[0.0, 0.0], [0.0, 0.0]]
        self.s, self.k, self.iteration, self.f_before = S0, 1, 0, math.nan

    @staticmethod
    def project(points: Layers) -> Layers:
        return [[a, 0.0] if abs(a) >= abs(b) else [0.0, b] for a, b in points]

    def norm(self, w: Layers, z: Layers) -> float:
        squares = [sum((a - b) ** 2 for a, b in zip(u, v, strict=True)) for u, v in zip(w, z, strict=True)]
        return sum(math.sqrt(square) for square in squares) if self.summed else math.sqrt(sum(squares))

    @staticmethod
    def lagrangian(f: float, w: Layers, z: Layers, multipliers: Layers) -> float:
        flat = [list(zip(*rows, strict=True)) for rows in zip(w, z, multipliers, strict=True)]
        return f + sum(c * (a - b) + RHO / 2 * (a - b) ** 2 for layer in flat for a, b, c in layer)

    @staticmethod
    def moved(multipliers: Layers, s: float, w: Layers, z: Layers) -> Layers:
        return [
            [c + s * (a - b) for a, b, c in zip(*rows, strict=True)] for rows in zip(w, z, multipliers, strict=True)
        ]

    @staticmethod
    def alpha(k: int) -> float:
        return 1 - 1 / (M * k ** (1 - 1 / k**R))

    def iterate(self, w: Layers, f: float) -> tuple[bool, bool]:
        self.iteration += 1
        z_before, old, s_old, k_old = self.z, self.multipliers, self.s, self.k
        forced = self.iteration == 1
        half_steps = self.counting is Counting.HALF_STEPS
        k = k_old if half_steps else self.iteration
        before = self.norm(self.w_before, z_before)

        first = forced or self.lagrangian(f, w, z_before, old) < self.lagrangian(
            self.f_before, self.w_before, z_before, old
        )
        if first:
            self.s = self.alpha(k) * self.s * before / self.norm(w, z_before)
            self.multipliers = self.moved(old, self.s, w, z_before)
            k += half_steps
        second = False
        if first or self.on_failure is OnFailure.PROJECT:
            shifted = [
                [a + c / RHO for a, c in zip(*rows, strict=True)] for rows in zip(w, self.multipliers, strict=True)
            ]
            self.z = self.project(shifted)
            half = self.multipliers
            second = forced or self.lagrangian(f, w, self.z, half) < self.lagrangian(f, w, z_before, half) - 1e-12
            if second:
                previous = self.norm(w, z_before) if self.numerator is Numerator.PREVIOUS_DIRECTION else before
                self.s = self.alpha(k) * self.s * previous / self.norm(w, self.z)
                self.multipliers = self.moved(half, self.s, w, self.z)
                k += half_steps
        if not second and self.on_failure is OnFailure.ROLLBACK:
            self.multipliers, self.s, k = old, s_old, k_old
        self.k, self.w_before, self.f_before = k, [row[:] for row in w], f
        return first, second


def _moment(step: int, loss: float) -> Moment:
    return Moment(step, step / len(PATH), torch.tensor(loss, dtype=torch.float64), (0.1, 0.1))


def _problem(start: Layers) -> Problem:
    weights = tuple(torch.tensor([row], dtype=torch.float64) for row in start)
    return Problem(("a", "b"), weights, ((Unstructured(0.5), (0,)), (Unstructured(0.5), (1,))))


def _write(problem: Problem, values: Layers) -> None:
    for weight, row in zip(problem.weights, values, strict=True):
        weight.copy_(torch.tensor([row], dtype=torch.float64))


def _lists(tensors: Sequence[Tensor]) -> Layers:
    return [tensor.reshape(-1).tolist() for tensor in tensors]


def _flat(tensors: Sequence[Tensor]) -> list[float]:
    return [entry for row in _lists(tensors) for entry in row]


def _method(**options: object) -> ClassicSLR:
    # Coupled: the method leaves the weights alone, so that the path above is what it sees.
    return ClassicSLR(s0=S0, M=M, r=R, penalty=RHO, interval=1, coupled=True, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(("loss", "holds"), [(1.23, True), (1.24, False)])
def test_two_updates_worked_out_by_hand(loss: float, holds: bool) -> None:
    """Three weights in two layers, rho = 0.5, s_0 = 0.8, alpha_1 = 1 - 1/M = 0.5; the one of layer b always stays."""
    weights = (torch.tensor([[3.0, 1.0]], dtype=torch.float64), torch.tensor([[2.0]], dtype=torch.float64))
    problem = Problem(("a", "b"), weights, ((Unstructured(0.5), (0,)), (Unstructured(0.5), (1,))))
    method = ClassicSLR(s0=0.8, M=2, r=0.5, penalty=0.5, interval=1, coupled=True, counting=Counting.ITERATIONS)
    state = method.start(problem)
    assert _lists(state.tensors["auxiliary"]) == [[3, 0], [2]]  # Z_0, so W_0 - Z_0 = [0, 1], [0] with norm 1

    _write(problem, [[3.0, 1.2], [3.6]])
    method.update(problem, state, _moment(1, 1.0))
    # W_1 - Z_0 = [0, 1.2], [1.6] with norm 2
    # s' = 0.5 * 0.8 * 1 / 2 = 0.2           Lambda' = [0, 0.24], [0.32]
    # W_1 + Lambda'/0.5 = [3, 1.68], [4.24]  Z_1 = [3, 0], [4.24]
    # W_1 - Z_1 = [0, 1.2], [-0.64] with norm sqrt(1.44 + 0.4096) = 1.36
    # s_1 = 0.5 * 0.2 * 2 / 1.36 = 5/34      Lambda_2 = [0, 0.24 + 6/34], [0.32 - 3.2/34]
    multipliers = [0.24 + 6 / 34, 0.32 - 3.2 / 34]
    assert _lists(state.tensors["auxiliary"]) == [pytest.approx([3, 0]), pytest.approx([4.24])]
    assert _lists(state.tensors["multipliers"]) == [pytest.approx([0, multipliers[0]]), pytest.approx(multipliers[1:])]
    assert float(state.scalars["stepsize"]) == pytest.approx(5 / 34)

    _write(problem, [[2.4, 0.8], [4.24]])
    seen = method.update(problem, state, _moment(2, loss))
    # W_2 - Z_1 = [-0.6, 0.8], [0] with norm 1
    # L(W_2, Z_1, Lambda_2) = f_2 + 0.8 * 0.41647 + 0.25 * 1.00                                = f_2 + 0.58318
    # L(W_1, Z_1, Lambda_2) = 1.0 + 1.2 * 0.41647 - 0.64 * 0.22588 + 0.25 * 1.8496             = 1.81760
    # so condition 1 holds for f_2 below 1.23442
    assert bool(seen.device["first_condition"]) is holds
    alpha = 1 - 1 / (2 * 2 ** (1 - 1 / math.sqrt(2)))  # k = 2
    s_half = alpha * (5 / 34) * 1.36 / 1 if holds else 5 / 34
    half = [-0.6 * s_half, multipliers[0] + 0.8 * s_half, multipliers[1]] if holds else [0, *multipliers]
    # Both ways W_2 + Lambda'/0.5 keeps the first entry of layer a, and Z moves, so condition 2 holds.
    auxiliary = [2.4 + 2 * half[0], 0, 4.24 + 2 * half[2]]
    residual = [2.4 - auxiliary[0], 0.8, 4.24 - auxiliary[2]]
    s = alpha * s_half * 1 / math.sqrt(sum(entry**2 for entry in residual))
    assert bool(seen.device["second_condition"])
    assert _flat(state.tensors["auxiliary"]) == pytest.approx(auxiliary)
    moved = [entry + s * rest for entry, rest in zip(half, residual, strict=True)]
    assert _flat(state.tensors["multipliers"]) == pytest.approx(moved)
    assert float(state.scalars["stepsize"]) == pytest.approx(s)
    assert float(seen.device["primal_residual"]) == pytest.approx(math.sqrt(sum(entry**2 for entry in residual)))


@pytest.mark.parametrize("summed", [False, True])
@pytest.mark.parametrize(("numerator", "counting", "on_failure"), list(product(Numerator, Counting, OnFailure)))
def test_follows_the_equations(numerator: Numerator, counting: Counting, on_failure: OnFailure, summed: bool) -> None:
    problem = _problem(START)
    method = _method(numerator=numerator, counting=counting, on_failure=on_failure, summed_norms=summed)
    state = method.start(problem)
    reference = Reference(numerator, counting, on_failure, summed)
    conditions = []
    for step, (weights, loss) in enumerate(PATH, start=1):
        _write(problem, weights)
        seen = method.update(problem, state, _moment(step, loss))
        expected = reference.iterate(weights, loss)
        conditions.append(expected)
        assert (bool(seen.device["first_condition"]), bool(seen.device["second_condition"])) == expected, step
        _assert_same(state, reference)
        assert float(seen.device["stepsize"]) == pytest.approx(reference.s, rel=1e-12)
    assert any(not first for first, _ in conditions), "the path must break condition 1 somewhere"
    assert any(first for first, _ in conditions[1:]), "and satisfy it after k = 1"


def test_second_condition_fails_where_the_auxiliary_variables_stand_still() -> None:
    """With W + Lambda'/rho in S already, and equal to Z, nothing is left to improve: a failure under every policy."""
    for on_failure in OnFailure:
        problem = _problem([[1.0, 0.0], [0.0, 2.0]])
        method = _method(on_failure=on_failure)
        state = method.start(problem)
        method.update(problem, state, _moment(1, 1.0))
        seen = method.update(problem, state, _moment(2, 0.5))
        assert bool(seen.device["first_condition"])
        assert not bool(seen.device["second_condition"])
        assert _lists(state.tensors["multipliers"]) == [[0, 0], [0, 0]]
        rolled_back = on_failure is OnFailure.ROLLBACK
        # Zero residuals: every ratio is 1, and each success costs one alpha.
        successes = [1, 2] if rolled_back else [1, 2, 3]
        s = S0 * math.prod(Reference.alpha(k) for k in successes)
        assert float(state.scalars["stepsize"]) == pytest.approx(s)
        assert float(state.scalars["k"]) == len(successes) + 1


def test_zero_residuals_give_finite_numbers() -> None:
    problem = _problem([[0.0, 0.0], [0.0, 0.0]])
    method = _method()
    state = method.start(problem)
    for step in (1, 2, 3):
        seen = method.update(problem, state, _moment(step, 0.0))
        assert all(math.isfinite(float(value)) for value in seen.device.values())
    assert all(math.isfinite(float(value)) for value in state.scalars.values())


def test_the_whole_iteration_through_the_pruner() -> None:
    """SGD on a quadratic, the decoupled pull after every step, two updates of three steps each, in plain Python."""
    lr, rho, interval = 0.1, 0.7, 3
    target = [2.0, -1.5, 1.0]
    model = nn.Linear(3, 1, bias=False, dtype=torch.float64)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, -1.4, 1.2]]))
    w = model.weight.reshape(-1).tolist()
    z = [0.0, w[1], 0.0]
    multipliers = [0.0, 0.0, 0.0]
    s, k = S0, 1
    before = math.sqrt(w[0] ** 2 + w[2] ** 2)

    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    method = ClassicSLR(s0=S0, M=M, r=R, penalty=rho, interval=interval)
    pruner = Pruner(model, optimizer, Unstructured(0.5), total_steps=2 * interval, method=method)
    first_values, losses = [], []
    for step in range(1, 2 * interval + 1):
        loss = (model.weight - torch.tensor([target], dtype=torch.float64)).square().sum() / 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        pruner.step(loss)

        losses.append(sum((a - b) ** 2 for a, b in zip(w, target, strict=True)) / 2)
        w = [a - lr * (a - b) for a, b in zip(w, target, strict=True)]
        w = [(a + lr * rho * (b - c / rho)) / (1 + lr * rho) for a, b, c in zip(w, z, multipliers, strict=True)]
        if step % interval == 0:
            f = sum(losses[-interval:]) / interval
            residual = [a - b for a, b in zip(w, z, strict=True)]
            value = f + sum(c * a + rho / 2 * a * a for a, c in zip(residual, multipliers, strict=True))
            first = not first_values or value < first_values[-1]
            norm = math.sqrt(sum(a * a for a in residual))
            assert first  # f falls throughout; the failures have their own tests
            s, k = Reference.alpha(k) * s * before / norm, k + 1
            multipliers = [c + s * a for a, c in zip(residual, multipliers, strict=True)]
            points = [a + c / rho for a, c in zip(w, multipliers, strict=True)]
            largest = max(range(3), key=lambda i: abs(points[i]))
            z = [point if i == largest else 0.0 for i, point in enumerate(points)]
            residual = [a - b for a, b in zip(w, z, strict=True)]
            before = math.sqrt(sum(a * a for a in residual))
            s, k = Reference.alpha(k) * s * norm / before, k + 1
            multipliers = [c + s * a for a, c in zip(residual, multipliers, strict=True)]
            first_values.append(f + sum(c * a + rho / 2 * a * a for a, c in zip(residual, multipliers, strict=True)))
    records = pruner.records()
    assert model.weight.reshape(-1).tolist() == pytest.approx(w, rel=1e-12)
    assert [record.first_condition for record in records] == [1, 1]
    assert records[-1].stepsize == pytest.approx(s, rel=1e-12)
    assert records[-1].primal_residual == pytest.approx(before, rel=1e-12)
    assert [record.loss for record in records] == pytest.approx([sum(losses[:3]) / 3, sum(losses[3:]) / 3])


def test_probe_is_f_at_the_very_weights_of_the_update() -> None:
    """The pull belongs to the W step: a probe evaluated before it would be f somewhere else."""
    model = nn.Linear(4, 1, bias=False)
    seen: list[Tensor] = []

    def probe() -> Tensor:
        seen.append(model.weight.detach().clone())
        return model.weight.detach().square().sum()

    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    method = ClassicSLR(interval=2, penalty=ConstantPenalty(5.0))
    pruner = Pruner(model, optimizer, Unstructured(0.5), total_steps=4, method=method, probe=probe)
    for step in range(1, 5):
        pruner.step(torch.tensor(7.0))
        assert len(seen) == step // 2, "once per update, and only then"
        if step % 2 == 0:
            assert torch.equal(seen[-1], model.weight)
    assert [record.loss for record in pruner.records()] == [float(weight.square().sum()) for weight in seen]


def test_a_probe_of_nan_satisfies_no_condition() -> None:
    problem = _problem(START)
    method = _method()
    state = method.start(problem)
    method.update(problem, state, _moment(1, 1.0))
    moment = Moment(2, 0.5, torch.zeros((), dtype=torch.float64), (0.1, 0.1), probe=lambda: torch.tensor(math.nan))
    assert not bool(method.update(problem, state, moment).device["first_condition"])
    assert all(torch.isfinite(tensor).all() for tensors in state.tensors.values() for tensor in tensors)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"s0": 0.0}, r"ClassicSLR\(s0=0.0\): s0 must be positive"),
        ({"M": 1.0}, r"ClassicSLR\(M=1.0\): M must be above 1"),
        ({"r": 1.0}, r"ClassicSLR\(r=1.0\): r must be in \(0, 1\)"),
        ({"penalty": -1.0}, r"ConstantPenalty\(rho=-1.0\): rho must be positive"),
        ({"interval": 0}, r"ClassicSLR\(interval=0\): interval must be an integer of at least 1"),
    ],
)
def test_refuses(options: dict[str, float], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        ClassicSLR(**options)  # type: ignore[arg-type]


def _assert_same(state: MethodState, reference: Reference) -> None:
    for kind, expected in (("auxiliary", reference.z), ("multipliers", reference.multipliers)):
        for row, values in zip(_lists(state.tensors[kind]), expected, strict=True):
            assert row == pytest.approx(values, rel=1e-12, abs=1e-15), kind
    assert float(state.scalars["stepsize"]) == pytest.approx(reference.s, rel=1e-12)
