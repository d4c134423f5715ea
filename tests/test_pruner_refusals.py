"""Bad input: one clear sentence each, and nothing changed or half-written."""

import math
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from slrprune import (
    ADMM,
    NM,
    SLR,
    ClassicSLR,
    CubicRamp,
    Global,
    GradualMagnitude,
    Method,
    NoRamp,
    OneShot,
    Pruner,
    QuadraticPenalty,
    RelaxedPath,
    Unstructured,
)
from slrprune.errors import ArgumentError, NonFiniteError, RuleError, ShapeError, UsageError

METHODS = [SLR(), ClassicSLR(interval=2), ADMM(interval=2), QuadraticPenalty(interval=2), GradualMagnitude(interval=2)]


@pytest.fixture(autouse=True)
def _every_digit() -> Iterator[None]:
    """States are compared as text here, in which NaN equals NaN: print every digit of every entry."""
    torch.set_printoptions(precision=17, threshold=1_000_000)
    yield
    torch.set_printoptions(profile="default")


def _model() -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4))


def _sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)


def _bits(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def _same(one: dict[str, Tensor], two: dict[str, Tensor]) -> bool:
    return (
        list(one) == list(two)
        and all(torch.equal(one[name].isnan(), two[name].isnan()) for name in one)
        and all(torch.equal(one[name].nan_to_num(7.0), two[name].nan_to_num(7.0)) for name in one)
    )


def _build(model: nn.Module | None = None, rules: Any = None, **options: Any) -> Pruner:
    model = _model() if model is None else model
    optimizer = options.pop("optimizer", None)
    options = {"total_steps": 10, **options}
    return Pruner(
        model, _sgd(model) if optimizer is None else optimizer, Global(0.75) if rules is None else rules, **options
    )


def _lbfgs() -> Pruner:
    model = _model()
    return _build(model, optimizer=torch.optim.LBFGS(model.parameters()))


def _scheduler() -> Pruner:
    model = _model()
    return _build(model, optimizer=torch.optim.lr_scheduler.StepLR(_sgd(model), 1))


@pytest.mark.parametrize(
    ("build", "kind", "message"),
    [
        (lambda: _build(rules=Unstructured(1.0)), ArgumentError, r"Unstructured\(sparsity=1\.0\): sparsity must be in"),
        (lambda: _build(rules=Global(90)), ArgumentError, r"must be in \[0, 1\)\. .*0\.9 keeps one weight in ten"),
        (lambda: _build(rules=Unstructured(-0.1)), ArgumentError, r"\(sparsity=-0\.1\): sparsity must be in \[0, 1\)"),
        (lambda: _build(rules=Unstructured(math.nan)), ArgumentError, r"sparsity must be in \[0, 1\)"),
        (lambda: _build(rules=0.9), ArgumentError, r"Pruner\(rules=0\.9\): rules must be a set, or a mapping"),
        (
            lambda: _build(rules={"encoder.*": Global(0.5)}),
            RuleError,
            r"rule 'encoder\.\*': matches no parameter\. The",
        ),
        (
            lambda: _build(rules=NM(2, 4)),
            ShapeError,
            r"0\.weight: NM\(2, 4\) needs shape\[1\] divisible by 4, got shape \(8, 6\)\. Use dim=0, or leave",
        ),
        (
            lambda: _build(total_steps=0),
            ArgumentError,
            r"\(total_steps=0\): total_steps must be a positive integer\. It",
        ),
        (lambda: _build(total_steps=True), ArgumentError, r"total_steps must be a positive integer"),
        (lambda: _build(total_steps=10.0), ArgumentError, r"Pruner\(total_steps=10\.0\): total_steps must be"),
        (lambda: _build(read_every=0), ArgumentError, r"Pruner\(read_every=0\): read_every must be an integer of"),
        (
            lambda: _build(method="slr"),
            ArgumentError,
            r"\(method=.*'slr'.*\): method must be an object of a method's class",
        ),
        (
            lambda: _build(method=SLR),
            ArgumentError,
            r"Pruner\(method='SLR'\): .* class\. Call the class, as in method=S",
        ),
        (
            lambda: Pruner([_model()], _sgd(_model()), Global(0.5), total_steps=9),  # type: ignore[arg-type]
            ArgumentError,
            r"Pruner\(model='list'\): model must be a torch module\. Several models go into one nn\.ModuleList\.",
        ),
        (lambda: _build(optimizer=[]), RuleError, r"0\.weight: no optimizer handed to the pruner owns it\."),
        (_scheduler, ArgumentError, r"\(optimizer='StepLR'\): optimizer must be a torch Optimizer, or several"),
        (
            lambda: _build(_model().to("meta")),
            UsageError,
            r"Pruner: 0\.weight is on the meta device and has no values\. Load the model's weights before",
        ),
        (_lbfgs, UsageError, r"Pruner: LBFGS builds on .*\. Take a first-order optimizer such as SGD or AdamW"),
    ],
)
def test_building(build: Callable[[], Pruner], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        build()


def test_two_parameters_over_one_memory() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    model[1].weight = nn.Parameter(model[0].weight.data.t())
    message = r"1\.weight: lies in the same memory as 0\.weight, but is another Parameter\. Tie them by"
    with pytest.raises(UsageError, match=message):
        _build(model, Global(0.5))
    _build(model, {"1": None, "*": Global(0.5)})
    model[1].weight = model[0].weight
    _build(model, Global(0.5))


@pytest.mark.parametrize(
    ("method", "total_steps", "needed"),
    [
        (ADMM(interval=20), 39, 40),  # the ramp ends at half of the run
        (GradualMagnitude(interval=10), 5, 20),
        (SLR(interval=3, ramp=CubicRamp(0.0, 0.3)), 2, 10),
        (SLR(interval=7, ramp=RelaxedPath(0.0, 1.0)), 6, 7),
        (SLR(), 1, 2),
    ],
)
def test_a_run_too_short_for_its_schedule(method: Method, total_steps: int, needed: int) -> None:
    message = (
        rf"Pruner\(total_steps={total_steps}\): total_steps is too short for the schedule: {type(method).__name__} "
        rf"ramps up until \d+% of the run\. Plan at least {needed} steps, or lower interval={method.interval}\."
    )
    with pytest.raises(ArgumentError, match=message):
        _build(total_steps=total_steps, method=method)
    with pytest.raises(ArgumentError, match=f"Plan at least {needed} steps"):
        _build(total_steps=needed - 1, method=method)
    _build(total_steps=needed, method=method)  # what the sentence promises


@pytest.mark.parametrize("interval", [1, 3, 10, 49])
@pytest.mark.parametrize("end", [0.001, 0.07, 0.1, 0.29, 0.3, 1 / 3, 0.5, 0.7, 0.999, 1.0])
def test_the_length_that_is_asked_for_is_the_least(end: float, interval: int) -> None:
    least = next(n for n in count(1) if int(end * n) >= interval)
    method = SLR(interval=interval, ramp=CubicRamp(0.0, end))
    for steps in {1, least - 1} & set(range(1, least)):
        with pytest.raises(ArgumentError, match=f"Plan at least {least} steps, or"):
            _build(total_steps=steps, method=method)
    _build(total_steps=least, method=method)


@pytest.mark.parametrize(
    ("end", "needed"),
    [(1e-7, 10**8), (2.0**-60, 10 * 2**60), (2.0**-1074, 10 * 2**1074)],
    ids=["1e-7", "2**-60", "the least of all floats"],
)
def test_the_length_for_a_ramp_that_is_over_at_once_is_not_counted_up(end: float, needed: int) -> None:
    class Watched(float):
        products = 0

        def __mul__(self, other: float) -> float:
            Watched.products += 1
            assert Watched.products < 10, "it counts"
            return float(self) * other

    with pytest.raises(ArgumentError, match=f"Plan at least {needed} steps, or lower interval=10"):
        _build(total_steps=10, method=SLR(interval=10, ramp=CubicRamp(0.0, Watched(end))))


def test_without_a_ramp_every_length_will_do() -> None:
    pruner = _build(total_steps=1, method=ClassicSLR(interval=20, ramp=NoRamp()))
    pruner.step(1.0)
    assert len(pruner.records()) == 1
    assert pruner.finalize().nnz == 20


def test_an_optimizer_that_does_not_own_a_weight() -> None:
    model = _model()
    message = r"2\.weight: no optimizer handed to the pruner owns it\. .*leave it out with the rule '2\.weight': None"
    optimizer = torch.optim.SGD(model[0].parameters(), lr=0.1)
    with pytest.raises(RuleError, match=message):
        _build(model, optimizer=optimizer)
    _build(model, {"2.weight": None, "*": Global(0.5)}, optimizer=optimizer)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_building_on_weights_that_are_not_finite(value: float) -> None:
    model = _model()
    model[2].weight.data[3, 3] = value
    before = _bits(model)
    with pytest.raises(NonFiniteError, match=r"^2\.weight: the weight is not finite\. Load the last checkpoint"):
        _build(model)
    assert _same(before, _bits(model))


@pytest.mark.parametrize("method", METHODS, ids=repr)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", ["loss", "weight"])
def test_a_step_that_diverged_leaves_the_last_good_state(method: Method, value: float, where: str) -> None:
    model = _model()
    pruner = _build(model, method=method)
    for _ in range(3):
        pruner.step(1.0)
    if where == "weight":
        model[0].weight.data[1, 1] = value
    before, state = _bits(model), str(pruner.state_dict())
    message = (
        r"^Pruner\.step, at or before step 4: the loss or a pruned weight is not finite\. The pruner's state is that "
        r"of the last good step; load the last checkpoint, or lower the rate\.$"
    )
    for _ in range(2):  # and again, where the caller goes on
        with pytest.raises(NonFiniteError, match=message):
            pruner.step(value if where == "loss" else 1.0)
    assert str(pruner.state_dict()) == state
    assert _same(before, _bits(model))
    assert pruner.steps == 3
    if where == "loss":
        pruner.step(1.0)
        assert pruner.steps == 4


@pytest.mark.parametrize("method", [*METHODS, OneShot()], ids=repr)
def test_the_cut_of_weights_that_are_not_finite(method: Method) -> None:
    model = _model()
    pruner = _build(model, method=method)
    for _ in range(3):
        pruner.step(1.0)
    model[2].weight.data[0, 0] = math.nan
    before, state = _bits(model), str(pruner.state_dict())
    with pytest.raises(NonFiniteError, match=r"^2\.weight: the weight is not finite\..*nothing has been changed"):
        pruner.finalize()
    assert _same(before, _bits(model))
    assert str(pruner.state_dict()) == state
    assert not pruner.is_finalized
    model[2].weight.data[0, 0] = 1.0
    pruner.finalize()


@pytest.mark.parametrize("loss", [torch.ones(2), torch.ones(0), torch.ones(1, 2)], ids=str)
def test_a_loss_that_is_not_one_number(loss: Tensor) -> None:
    pruner = _build()
    with pytest.raises(ArgumentError, match=r"Pruner\.step\(loss=\(.*\)\): loss must hold one number"):
        pruner.step(loss)
    assert pruner.steps == 0


@pytest.mark.parametrize("loss", [None, "0.5", [0.5]], ids=str)
def test_a_loss_that_is_no_number(loss: Any) -> None:
    with pytest.raises(
        ArgumentError, match=r"Pruner\.step\(loss=.*\): loss must be a tensor or a number\. Pass the mini"
    ):
        _build().step(loss)


@pytest.mark.parametrize("loss", [np.float32(0.5), np.float64(0.5), 1, True], ids=repr)
def test_any_number_is_a_loss(loss: Any) -> None:
    pruner = _build()
    pruner.step(loss)
    assert pruner.steps == 1


@pytest.mark.parametrize("call", ["step", "finalize", "penalty", "preview"])
def test_after_the_cut(call: str) -> None:
    model = _model()
    pruner = _build(model)
    pruner.step(1.0)
    pruner.finalize()
    before, state = _bits(model), str(pruner.state_dict())
    message = (
        rf"Pruner\.{call}: the pruner has been finalized\. For masked retraining use MaskKeeper\(model, optimizer\)"
    )
    with pytest.raises(UsageError, match=message):
        pruner.step(1.0) if call == "step" else getattr(pruner, call)()
    assert _same(before, _bits(model))
    assert str(pruner.state_dict()) == state


def _replaced(model: nn.Sequential) -> None:
    model[2].weight = nn.Parameter(model[2].weight.detach().clone())


def _replaced_layer(model: nn.Sequential) -> None:
    model[2].register_parameter("weight", nn.Parameter(torch.ones(4, 8)))


def _deleted(model: nn.Sequential) -> None:
    del model[2].weight


def _parametrized(model: nn.Sequential) -> None:
    nn.utils.parametrizations.weight_norm(model[2])


def _assigned(model: nn.Sequential) -> None:
    model.load_state_dict({name: tensor.clone() for name, tensor in model.state_dict().items()}, assign=True)


@pytest.mark.parametrize("change", [_replaced, _replaced_layer, _deleted, _parametrized, _assigned])
@pytest.mark.parametrize("call", ["step", "finalize"])
def test_a_parameter_replaced_after_building(change: Callable[[nn.Sequential], None], call: str) -> None:
    model = _model()
    pruner = _build(model)
    pruner.step(1.0)
    state = str(pruner.state_dict())
    change(model)
    before = _bits(model)
    message = (
        r"Pruner: [02]\.weight was replaced after the pruner was built\. Build the pruner last, after everything that"
    )
    with pytest.raises(UsageError, match=message):
        pruner.step(1.0) if call == "step" else pruner.finalize()
    assert _same(before, _bits(model))
    assert str(pruner.state_dict()) == state


@pytest.mark.parametrize(
    ("move", "message"),
    [
        (
            lambda model: model.double(),
            r"0\.weight went from torch\.float32 on cpu to torch\.float64 on cpu\. Build the",
        ),
        (lambda model: model.bfloat16(), r"0\.weight went from torch\.float32 on cpu to torch\.bfloat16 on cpu"),
        (lambda model: model.to("meta"), r"0\.weight (went from .* on cpu to .* on meta|was replaced)"),
    ],
)
def test_a_model_moved_after_building(move: Callable[[nn.Module], nn.Module], message: str) -> None:
    model = _model()
    pruner = _build(model)
    pruner.step(1.0)
    move(model)
    with pytest.raises(UsageError, match=message):
        pruner.step(1.0)
    with pytest.raises(UsageError, match=message):
        pruner.finalize()
    with pytest.raises(UsageError, match=message):
        pruner.preview()
    assert pruner.steps == 1


def test_a_frozen_weight_is_refused_by_name_only() -> None:
    model = _model()
    model[0].weight.requires_grad_(False)
    assert _build(model).problem.names == ("2.weight",)
    with pytest.raises(RuleError, match=r"0\.weight: is frozen \(requires_grad is False\)"):
        _build(model, {"0.weight": Unstructured(0.5)})
