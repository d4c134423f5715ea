"""What every method promises, for every method: one table, one property per test."""

import dataclasses
import math
from collections.abc import Iterator

import pytest
import torch
from methods_table import METHODS, STEPS, WITHOUT_PENALTY, Run, every_method, same_bits, tensors_in
from torch import Tensor, nn

from slrprune import (
    ADMM,
    SLR,
    ClassicSLR,
    ConstraintSet,
    Global,
    Method,
    Pruner,
    QuadraticPenalty,
    RelaxedPath,
    Unstructured,
    UpdateRecord,
)
from slrprune.errors import ArgumentError


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


@pytest.mark.parametrize("method", WITHOUT_PENALTY.values(), ids=WITHOUT_PENALTY.keys())
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_nothing_constrained_leaves_training_unchanged(method: Method, dtype: torch.dtype) -> None:
    plain, pruned = Run(None, dtype=dtype), Run(method, Global(0.0), dtype=dtype)
    plain.train(range(STEPS))
    pruned.train(range(STEPS))
    assert all(same_bits(a, b) for a, b in zip(plain.model.parameters(), pruned.model.parameters(), strict=True))
    assert pruned.pruner is not None
    report = pruned.pruner.finalize()
    assert report.nnz == report.numel
    assert all(same_bits(a, b) for a, b in zip(plain.model.parameters(), pruned.model.parameters(), strict=True))


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
    for tensor in tensors_in(pruner.state_dict()):
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
