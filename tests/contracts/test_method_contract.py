"""What every method promises, for every method: one table, one property per test."""

import dataclasses
import io
import math
from collections.abc import Iterator
from copy import deepcopy
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from slrprune import (
    ADMM,
    SLR,
    ClassicSLR,
    ConstraintSet,
    DecayingStepsize,
    Global,
    GradualMagnitude,
    Method,
    NoRamp,
    OneShot,
    Pruner,
    QuadraticPenalty,
    RelaxedPath,
    Unstructured,
    UpdateRecord,
)
from slrprune.errors import ArgumentError
from slrprune.methods import OnFailure
from slrprune.methods.base import Moment, Problem
from slrprune.methods.lagrangian import LagrangianMethod

METHODS: dict[str, Method] = {
    "SLR": SLR(),
    "SLR sigma=1 interval=3": SLR(sigma=1.0, interval=3),
    "SLR decaying": SLR(sigma=DecayingStepsize(M=20), decay=0.02, interval=2),
    "SLR relaxed path": SLR(ramp=RelaxedPath()),
    "ClassicSLR": ClassicSLR(interval=3, s0=0.1),
    "ClassicSLR rollback": ClassicSLR(
        interval=2, s0=0.1, penalty=1.0, on_failure=OnFailure.ROLLBACK, summed_norms=True
    ),
    "ClassicSLR coupled": ClassicSLR(interval=3, s0=0.1, coupled=True),
    "ADMM": ADMM(interval=3),
    "ADMM coupled": ADMM(interval=3, coupled=True),
    "ADMM no ramp": ADMM(interval=3, ramp=NoRamp(), penalty=1.0),
    "QuadraticPenalty": QuadraticPenalty(interval=3),
    "QuadraticPenalty coupled": QuadraticPenalty(interval=3, coupled=True),
    "GradualMagnitude": GradualMagnitude(interval=3),
    "OneShot": OneShot(),
}


def _without_penalty(method: Method) -> Method:
    if isinstance(method, ClassicSLR):
        return dataclasses.replace(method, penalty=1e-18, s0=1e-30)
    return dataclasses.replace(method, penalty=1e-18) if isinstance(method, LagrangianMethod) else method


WITHOUT_PENALTY: dict[str, Method] = {
    name: _without_penalty(method)
    for name, method in METHODS.items()
    if name != "SLR relaxed path"  # relaxing the entries off the support does change the training
}
STEPS = 12

every_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())


class Run:
    """A small regression: a model, its optimizer and pruner, and a step of training."""

    def __init__(
        self,
        method: Method | None,
        rules: ConstraintSet | None = None,
        *,
        dtype: torch.dtype = torch.float32,
        steps: int = STEPS,
        adam: bool = False,
    ) -> None:
        torch.manual_seed(7)
        self.model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4)).to(dtype)
        self.inputs, self.targets = torch.randn(64, 6).to(dtype), torch.randn(64, 4).to(dtype)
        self.optimizer: torch.optim.Optimizer
        if adam:
            self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=0.01)
        else:
            self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
        rules = Global(0.75) if rules is None else rules
        self.pruner = (
            None if method is None else Pruner(self.model, self.optimizer, rules, total_steps=steps, method=method)
        )

    def train(self, steps: range) -> None:
        for step in steps:
            rows = torch.arange(step, step + 16) % 64
            loss = (self.model(self.inputs[rows]) - self.targets[rows]).square().mean()
            is_coupled = self.pruner is not None and self.pruner.method.is_coupled
            penalty = self.pruner.penalty() if self.pruner is not None and is_coupled else 0.0
            self.optimizer.zero_grad()
            (loss + penalty).backward()
            self.optimizer.step()
            if self.pruner is not None:
                self.pruner.step(loss)

    @property
    def weights(self) -> list[Tensor]:
        return [layer.weight for layer in (self.model[0], self.model[2])]


@every_method
def test_known_answer_of_a_quadratic(method: Method) -> None:
    """f(w) = (w - a)' D (w - a) / 2, D diagonal: the best 16 of 64 entries are those of largest d a^2, with w = a.

    The learning rate decays: at a constant one the memory of `SLR` grows by lr d a with every step, also at the
    solution, until entries off the support outgrow those on it.
    """
    generator = torch.Generator().manual_seed(5)
    model = nn.Linear(8, 8, bias=False, dtype=torch.float64)
    best = torch.zeros(64, dtype=torch.bool)
    best[torch.randperm(64, generator=generator)[:16]] = True
    signs = torch.randint(0, 2, (64,), generator=generator) * 2 - 1
    sizes = torch.rand(64, generator=generator, dtype=torch.float64)
    a = (signs * torch.where(best, 2 + sizes, 0.05 + 0.1 * sizes)).view(8, 8)
    d = (0.5 + torch.rand(64, generator=generator, dtype=torch.float64)).view(8, 8)
    optimum = float((d * a.square()).flatten()[~best].sum() / 2)
    model.weight.data.copy_(a + 0.02 * torch.randn(8, 8, generator=generator, dtype=torch.float64))

    def f() -> Tensor:
        return (d * (model.weight - a).square()).sum() / 2

    steps = 150
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    pruner = Pruner(model, optimizer, Unstructured(0.75), total_steps=steps, method=method)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 0.1 * (1 - step / steps)
        loss = f()
        optimizer.zero_grad()
        (loss + pruner.penalty() if method.is_coupled else loss).backward()
        optimizer.step()
        pruner.step(loss)
    pruner.finalize()
    assert torch.equal(model.weight.flatten() != 0, best)
    assert f().item() == pytest.approx(optimum, rel=5e-3)


@every_method
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("rules", [Global(0.75), Unstructured(0.3)], ids=str)
def test_ends_feasible_with_the_exact_count(method: Method, dtype: torch.dtype, rules: ConstraintSet) -> None:
    run = Run(method, rules, dtype=dtype)
    run.train(range(STEPS))
    pruner = run.pruner
    assert pruner is not None
    report = pruner.finalize()
    kept = [20] if isinstance(rules, Global) else [34, 22]
    assert report.nnz == sum(kept)
    assert sum(int(weight.count_nonzero()) for weight in run.weights) == sum(kept)
    if len(kept) == 2:
        assert [layer.nnz for layer in report.layers] == kept
    assert all(weight.dtype is dtype for weight in run.weights)
    for weight, mask in zip(run.weights, pruner.masks().values(), strict=True):
        assert torch.equal(weight != 0, mask)


@every_method
@pytest.mark.parametrize(
    ("stop", "through_a_file", "adam"),
    # Both stops lie between two updates for interval 3; at 4 the ramp still runs, at 7 it has ended.
    [(4, False, True), (7, True, False)],
)
def test_resumed_is_uninterrupted_bit_for_bit(method: Method, stop: int, through_a_file: bool, adam: bool) -> None:
    whole = Run(method, adam=adam)
    whole.train(range(STEPS))

    first = Run(method, adam=adam)
    first.train(range(stop))
    assert first.pruner is not None
    saved: dict[str, Any] = {
        "model": first.model.state_dict(),
        "optimizer": first.optimizer.state_dict(),
        "pruner": first.pruner.state_dict(),
    }
    if through_a_file:
        file = io.BytesIO()
        torch.save(saved, file)
        file.seek(0)
        saved = torch.load(file, weights_only=True)
    second = Run(method, adam=adam)
    assert second.pruner is not None
    second.model.load_state_dict(saved["model"])
    second.optimizer.load_state_dict(saved["optimizer"])
    second.pruner.load_state_dict(saved["pruner"])
    assert _same(second.pruner.state_dict(), first.pruner.state_dict())
    second.train(range(stop, STEPS))

    assert whole.pruner is not None
    assert _same(second.pruner.state_dict(), whole.pruner.state_dict())
    whole.pruner.finalize()
    second.pruner.finalize()
    assert all(_same(a, b) for a, b in zip(whole.weights, second.weights, strict=True))
    assert _same(whole.pruner.state_dict(), second.pruner.state_dict())


@every_method
@pytest.mark.parametrize("rules", [Global(0.75), Unstructured(0.0)], ids=str)
def test_state_shares_no_memory(method: Method, rules: ConstraintSet) -> None:
    """Not with the model, not with the dictionary handed out or taken in, not between two entries."""
    run = Run(method, rules)
    assert run.pruner is not None
    for steps in (range(0), range(4), range(4, STEPS)):
        run.train(steps)
        inside = [tensor for tensors in run.pruner._state.tensors.values() for tensor in tensors]
        inside += [*run.pruner._state.scalars.values()]
        saved = run.pruner.state_dict()
        other = Run(method, rules)
        assert other.pruner is not None
        other.pruner.load_state_dict(saved)
        loaded = [tensor for tensors in other.pruner._state.tensors.values() for tensor in tensors]
        loaded += [*other.pruner._state.scalars.values()]
        model = [parameter.detach() for parameter in run.model.parameters()]
        handed_out = [*_tensors(saved), *run.pruner.masks().values()]
        _assert_disjoint([*inside, *model, *handed_out, *loaded])


@pytest.mark.parametrize("method", WITHOUT_PENALTY.values(), ids=WITHOUT_PENALTY.keys())
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_nothing_constrained_leaves_training_unchanged(method: Method, dtype: torch.dtype) -> None:
    plain, pruned = Run(None, dtype=dtype), Run(method, Global(0.0), dtype=dtype)
    plain.train(range(STEPS))
    pruned.train(range(STEPS))
    assert all(_same(a, b) for a, b in zip(plain.model.parameters(), pruned.model.parameters(), strict=True))
    assert pruned.pruner is not None
    report = pruned.pruner.finalize()
    assert report.nnz == report.numel
    assert all(_same(a, b) for a, b in zip(plain.model.parameters(), pruned.model.parameters(), strict=True))


@every_method
@pytest.mark.parametrize("start", ["feasible", "zero"])
def test_zero_residual_divides_nothing_by_zero(method: Method, start: str) -> None:
    """Weights that lie in the set from the first step, and a loss that does not move them."""
    model = nn.Linear(4, 4, bias=False)
    model.weight.data.copy_(torch.eye(4) if start == "feasible" else torch.zeros(4, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    pruner = Pruner(model, optimizer, Unstructured(0.75), total_steps=STEPS, method=method)
    before = model.weight.detach().clone()
    for _ in range(STEPS):
        loss = (0 * model.weight).sum()
        optimizer.zero_grad()
        (loss + pruner.penalty() if method.is_coupled else loss).backward()
        optimizer.step()
        pruner.step(loss)
    assert torch.equal(model.weight, before)
    expected = _fields(method)
    for record in pruner.records():
        assert {name for name, value in dataclasses.asdict(record).items() if math.isfinite(value)} == expected
        assert record.primal_residual in (0.0, pytest.approx(math.nan, nan_ok=True))
    for tensor in _tensors(pruner.state_dict()):
        assert torch.isfinite(tensor).all()


@every_method
def test_records_are_typed_and_complete(method: Method) -> None:
    run = Run(method)
    run.train(range(STEPS))
    assert run.pruner is not None
    records = run.pruner.records()
    updates = [step for step in range(1, STEPS + 1) if step % method.interval == 0]
    assert [record.step for record in records] == updates
    assert [record.iteration for record in records] == list(range(1, len(updates) + 1))
    for record in records:
        assert isinstance(record, UpdateRecord)
        for field in dataclasses.fields(UpdateRecord):
            value = getattr(record, field.name)
            assert type(value) is (int if field.name in ("step", "iteration", "mask_changes") else float), field.name
            assert math.isfinite(value) is (field.name in _fields(method)), field.name
        for condition in (record.first_condition, record.second_condition):
            assert math.isnan(condition) or condition in (0.0, 1.0)
        assert 0 <= record.sparsity <= 0.75
        assert 0 <= record.mask_changes <= 80
    assert records[-1].sparsity == 0.75
    if isinstance(method, ClassicSLR):
        assert records[0].first_condition == records[0].second_condition == 1


@every_method
def test_same_seed_same_bits(method: Method) -> None:
    runs = [Run(method), Run(method)]
    for run in runs:
        run.train(range(STEPS))
    assert runs[0].pruner is not None
    assert runs[1].pruner is not None
    assert _same(runs[0].pruner.state_dict(), runs[1].pruner.state_dict())
    assert all(_same(a, b) for a, b in zip(*(run.model.parameters() for run in runs), strict=True))


@every_method
def test_several_optimizers_and_learning_rates(method: Method) -> None:
    """Two optimizers, one with two groups: the same bits as if each layer's pull used its own learning rate alone."""

    def trained(first: float, second: float) -> nn.Sequential:
        torch.manual_seed(7)
        model = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
        groups = [{"params": [model[0].weight], "lr": first}, {"params": [model[1].weight], "lr": second}]
        optimizers = [torch.optim.SGD(groups, lr=9.0), torch.optim.AdamW([model[2].weight], lr=0.01)]
        pruner = Pruner(model, optimizers, Unstructured(0.5), total_steps=STEPS, method=method)
        for _ in range(STEPS):
            loss = torch.stack([(layer.weight - 1).square().sum() for layer in model]).sum()
            for optimizer in optimizers:
                optimizer.zero_grad()
            (loss + pruner.penalty() if method.is_coupled else loss).backward()
            for optimizer in optimizers:
                optimizer.step()
            pruner.step(loss)
        return model

    # The conditions of ClassicSLR read all layers together, so it is compared where they are forced alike: not at all.
    one, two = trained(0.1, 0.02), trained(0.1, 0.05)
    assert not torch.equal(one[1].weight, two[1].weight)
    if not isinstance(method, ClassicSLR):
        assert torch.equal(one[0].weight, two[0].weight)
        assert torch.equal(one[2].weight, two[2].weight)


@every_method
def test_unusable_moment_leaves_the_state_finite(method: Method) -> None:
    """On accelerators the host learns of a NaN late; until then the state must stay that of the last good step."""
    weight = torch.randn(4, 8, dtype=torch.float64)
    problem = Problem(("w",), (weight,), ((Unstructured(0.5), (0,)),))
    method = dataclasses.replace(method, ramp=NoRamp(), **({"decay": 0.0} if isinstance(method, SLR) else {}))
    state = method.start(problem)

    def moment(step: int, *, usable: bool) -> Moment:
        loss = torch.tensor(1.0 if usable else math.nan, dtype=torch.float64)
        return Moment(step, step / 10, loss, (0.1,), torch.tensor(usable))

    for step in (1, 2):
        method.update(problem, state, moment(step, usable=True))
    before = deepcopy((state.tensors, state.scalars))
    for step, act in ((3, method.hold), (4, method.update), (5, method.hold)):
        weight.fill_(math.nan)
        act(problem, state, moment(step, usable=False))
    assert _same(state.tensors, before[0])
    mean = ("loss_sum",)  # an update starts a new mean
    assert all(_same(state.scalars[name], value) for name, value in before[1].items() if name not in mean)
    assert all(math.isfinite(float(state.scalars[name])) for name in state.scalars if name in mean)


@every_method
def test_an_unusable_first_update_protects_too(method: Method) -> None:
    weight = torch.randn(4, 8, dtype=torch.float64)
    problem = Problem(("w",), (weight,), ((Unstructured(0.5), (0,)),))
    state = method.start(problem)
    weight.fill_(math.nan)
    moment = Moment(1, 1.0, torch.tensor(math.nan, dtype=torch.float64), (0.1,), torch.tensor(False))
    before = deepcopy(state.tensors)
    method.update(problem, state, moment)
    if isinstance(method, SLR):  # the good memory may be projected anew; it must still hold every value
        assert _same(state.tensors["memory"], before["memory"]) or method.decay
        assert int(state.tensors["mask"][0].sum()) == 16
    else:
        assert _same(state.tensors, before)


@every_method
def test_finalized_zeros_are_positive(method: Method) -> None:
    """Zeros are +0.0, those that the mask keeps included: minus zero would survive a product with the mask."""
    model = nn.Linear(8, 4, bias=False)
    model.weight.data.copy_(-torch.rand(4, 8))
    model.weight.data[:, :6] = -0.0
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    pruner = Pruner(model, optimizer, Unstructured(0.5), total_steps=STEPS, method=method)
    for _ in range(STEPS):
        loss = (0 * model.weight).sum()
        model.weight.grad = torch.zeros_like(model.weight)
        if method.is_coupled:
            (loss + pruner.penalty()).backward()
        optimizer.step()
        pruner.step(loss)
    pruner.finalize()
    zeros = model.weight[model.weight == 0]
    assert len(zeros) >= 16
    assert not torch.signbit(zeros).any()


@every_method
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_bytes_per_weight_are_what_is_stored(method: Method, dtype: torch.dtype) -> None:
    run = Run(method, dtype=dtype)
    run.train(range(STEPS))
    assert run.pruner is not None
    stored = sum(
        tensor.untyped_storage().nbytes() for tensors in run.pruner._state.tensors.values() for tensor in tensors
    )
    assert stored == 80 * method.bytes_per_weight(dtype)


@every_method
def test_is_frozen_and_holds_no_state(method: Method) -> None:
    before = repr(method)
    Run(method).train(range(STEPS))
    assert repr(method) == before
    assert hash(method) == hash(deepcopy(method))
    with pytest.raises(dataclasses.FrozenInstanceError):
        method.interval = 5  # type: ignore[misc]


@every_method
def test_only_a_method_that_relaxes_takes_a_relaxed_path(method: Method) -> None:
    if isinstance(method, SLR):
        assert dataclasses.replace(method, ramp=RelaxedPath()).takes_relaxed_path
    else:
        message = rf"{type(method).__name__}\(ramp=RelaxedPath\(.*\)\): ramp must be (CubicRamp or )?NoRamp"
        with pytest.raises(ArgumentError, match=message):
            dataclasses.replace(method, ramp=RelaxedPath())


def _fields(method: Method) -> set[str]:
    """The fields of a record that hold a number for this method; the others are NaN."""
    common = {"step", "iteration", "loss", "sparsity", "mask_changes"}
    residuals = {"primal_residual", "dual_residual"}
    if isinstance(method, SLR):
        return common | residuals | {"stepsize", "first_condition"}
    if isinstance(method, ClassicSLR):
        return common | residuals | {"penalty", "stepsize", "first_condition", "second_condition"}
    if isinstance(method, ADMM):
        return common | residuals | {"penalty", "stepsize"}
    return common | residuals | {"penalty"} if isinstance(method, QuadraticPenalty) else common


def _tensors(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for entry in value.values():
            yield from _tensors(entry)
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from _tensors(entry)


def _same(a: Any, b: Any) -> bool:
    """Equal in every bit: minus zero differs from zero, and NaN equals NaN."""
    if isinstance(a, Tensor):
        integers = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[a.element_size()]
        x, y = a.detach().contiguous(), b.detach().contiguous()
        return x.dtype is y.dtype and torch.equal(x.view(integers), y.view(integers))
    if isinstance(a, dict):
        return list(a) == list(b) and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    return type(a) is type(b) and (a == b or (a != a and b != b))


def _assert_disjoint(tensors: list[Tensor]) -> None:
    """No two storages overlap, and no two tensors share one."""
    spans = sorted(
        (tensor.untyped_storage().data_ptr(), tensor.untyped_storage().data_ptr() + tensor.untyped_storage().nbytes())
        for tensor in tensors
    )
    for (_, end), (start, _) in pairwise(spans):
        assert end <= start


def test_the_table_names_every_method() -> None:
    """A method that is not in the table has promised nothing."""
    concrete = {kind for kind in _subclasses(Method) if not getattr(kind, "__abstractmethods__", None)}
    assert {type(method) for method in METHODS.values()} == {
        kind for kind in concrete if kind.__module__.startswith("slrprune.")
    }


def _subclasses(kind: type) -> Iterator[type]:
    for sub in kind.__subclasses__():
        yield sub
        yield from _subclasses(sub)
