"""The saved state: what it holds, what it refuses, and that a refusal changes nothing."""

import io
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import nn

from slrprune import NM, SLR, ClassicSLR, Global, Method, Pruner, Unstructured
from slrprune.errors import StateError, UsageError
from slrprune.rules import Rules

State = dict[str, Any]


def _model(width: int = 8, dtype: torch.dtype = torch.float32) -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(6, width), nn.Linear(width, 4)).to(dtype)


def _pruner(
    model: nn.Module | None = None,
    rules: Rules | None = None,
    *,
    method: Method | None = None,
    total_steps: int = 10,
    steps: int = 0,
) -> Pruner:
    model = _model() if model is None else model
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    rules = Global(0.5) if rules is None else rules
    pruner = Pruner(model, optimizer, rules, total_steps=total_steps, method=method)
    for step in range(steps):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.01 * (step + 1))
        pruner.step(1.0 / (step + 1))
    return pruner


@pytest.fixture(autouse=True)
def _every_digit() -> Iterator[None]:
    """States are compared as text here, in which NaN equals NaN: print every digit of every entry."""
    torch.set_printoptions(precision=17, threshold=1_000_000)
    yield
    torch.set_printoptions(profile="default")


@pytest.fixture
def saved() -> State:
    return _pruner(steps=4).state_dict()


def test_is_made_of_plain_values_and_tensors(saved: State) -> None:
    def check(value: object) -> None:
        if isinstance(value, dict):
            assert all(type(key) is str for key in value)
            for entry in value.values():
                check(entry)
        elif isinstance(value, list):
            for entry in value:
                check(entry)
        else:
            assert value is None or type(value) in (str, int, float, torch.Tensor)
            assert not isinstance(value, torch.Tensor) or not value.requires_grad

    check(saved)
    assert saved["version"] == 1
    assert saved["steps"] == 4
    assert list(saved["tensors"]["mask"]) == ["0.weight", "1.weight"]


def test_loading_leaves_the_dictionary_as_it_is(saved: State) -> None:
    before = deepcopy(saved)
    pruner = _pruner()
    pruner.load_state_dict(saved)
    for _ in range(3):
        pruner.step(1.0)
    assert str(saved) == str(before)
    assert torch.equal(saved["tensors"]["memory"]["0.weight"], before["tensors"]["memory"]["0.weight"])


def test_holds_steps_records_and_masks_of_a_finished_run() -> None:
    pruner = _pruner(steps=10)
    pruner.finalize()
    saved = pruner.state_dict()
    assert saved["tensors"] == {}  # the memory is freed
    other = _pruner()
    other.load_state_dict(saved)
    assert other.is_finalized
    assert other.steps == 10
    assert str(other.records()) == str(pruner.records())  # NaN differs from itself, but not in print
    assert all(torch.equal(mask, other.masks()[name]) for name, mask in pruner.masks().items())
    with pytest.raises(UsageError, match="the pruner has been finalized"):
        other.step(1.0)


def test_loads_in_the_middle_of_another_run(saved: State) -> None:
    """Whatever the pruner had done is forgotten, a finalized pruner included."""
    expected = _pruner()
    expected.load_state_dict(saved)
    for steps, finish in ((7, False), (10, True)):
        pruner = _pruner(steps=steps)
        if finish:
            pruner.finalize()
        pruner.load_state_dict(saved)
        assert pruner.steps == 4
        assert not pruner.is_finalized
        assert str(pruner.state_dict()) == str(expected.state_dict())


@pytest.mark.parametrize("wrap", [nn.DataParallel, lambda model: torch.compile(model, backend="eager")])
def test_wrapper_prefixes_do_not_matter(saved: State, wrap: Callable[[nn.Module], nn.Module]) -> None:
    wrapped = _pruner(wrap(_model()))
    wrapped.load_state_dict(saved)
    assert str(wrapped.state_dict()) == str(saved)
    _pruner().load_state_dict(wrapped.state_dict())

    def prefixed(entry: State) -> State:
        return {f"module.{name}": value for name, value in entry.items()}

    # Also where the names in the file carry them.
    tensors = {kind: prefixed(values) for kind, values in saved["tensors"].items()}
    named = {key: prefixed(saved[key]) for key in ("sets", "shapes", "dtypes")}
    _pruner().load_state_dict({**saved, **named, "tensors": tensors})


def _without(key: str) -> Callable[[State], State]:
    return lambda state: {name: value for name, value in state.items() if name != key}


def _with(key: str, value: object) -> Callable[[State], State]:
    return lambda state: {**state, key: value}


def _without_kind(kind: str) -> Callable[[State], State]:
    return lambda state: {**state, "tensors": {name: held for name, held in state["tensors"].items() if name != kind}}


def _tensor(kind: str, name: str, value: torch.Tensor | None) -> Callable[[State], State]:
    def change(state: State) -> State:
        state = deepcopy(state)
        if value is None:
            del state["tensors"][kind][name]
        else:
            state["tensors"][kind][name] = value
        return state

    return change


REFUSALS: list[tuple[Callable[[], Pruner], Callable[[State], Any], str]] = [
    (_pruner, lambda _: {}, "this is not the state of a pruner. Pass what Pruner.state_dict"),
    (_pruner, lambda _: _model().state_dict(), "this is not the state of a pruner"),
    (_pruner, lambda _: None, "this is not the state of a pruner"),
    (_pruner, _with("version", 2), r"the state has version 2, this slrprune reads 1\. Update slrprune"),
    (
        lambda: _pruner(method=SLR(sigma=0.3)),
        lambda state: state,
        r"method is SLR\(.*sigma=1\.0.* in the state and SLR\(.*sigma=0\.3.* here\. They must agree",
    ),
    (
        lambda: _pruner(method=ClassicSLR(interval=5)),
        lambda state: state,
        r"method is SLR\(.* in the state and ClassicSLR\(",
    ),
    (lambda: _pruner(total_steps=11), lambda state: state, "total_steps is 10 in the state and 11 here"),
    (
        lambda: _pruner(_model(width=9)),
        lambda state: state,
        r"the state belongs to another model, the shapes differ in \['0\.weight', '1\.weight'\]\. Load it",
    ),
    (
        lambda: _pruner(nn.Linear(6, 8)),
        lambda state: state,
        r"the state prunes other weights, weight is pruned here alone\. Build the pruner on the same model",
    ),
    (
        lambda: _pruner(rules={"0": None, "*": Global(0.5)}),
        lambda state: state,
        r"the state prunes other weights, 0\.weight is pruned there alone\. Build .* with the rules of the saved run\.",
    ),
    (
        lambda: _pruner(rules=Global(0.6)),
        lambda state: state,
        r"the sets differ: 0\.weight has Global\(sparsity=0\.5\).* there and Global\(sparsity=0\.6\).* here\. Build",
    ),
    (
        lambda: _pruner(rules={"0": Global(0.5), "1": Global(0.5)}),
        lambda state: state,
        r"the sets differ: 0\.weight has Global\(.*\) there and Global\(.*\), budget of 0\.weight and no other here",
    ),
    (
        lambda: _pruner(_model(dtype=torch.float64)),
        lambda state: state,
        r"the dtypes differ: 0\.weight has torch\.float32 there and torch\.float64 here\. Load it beside weights of",
    ),
    (_pruner, _without("tensors"), r"the state lacks \['tensors'\]\. The state is damaged"),
    (_pruner, _without("records"), r"the state lacks \['records'\]"),
    (_pruner, _without_kind("memory"), r"the state lacks \['memory'\], which the method needs\. .* anew"),
    (_pruner, _with("records", {"step": [1]}), r"the records are incomplete"),
    (_pruner, _tensor("memory", "1.weight", None), r"memory of 1\.weight is missing or has another shape"),
    (_pruner, _tensor("mask", "0.weight", torch.ones(3)), r"mask of 0\.weight is missing or has another shape"),
]


def test_refuses_a_state_from_before_there_were_thresholds_of_entries() -> None:
    first, second = (_pruner(rules={"0": NM(1, 2), "*": None}) for _ in range(2))
    first.step(1.0)
    saved = first.state_dict()
    with pytest.raises(StateError, match=r"the state lacks \['thresholds'\], which the method needs\. .* anew"):
        second.load_state_dict(_without_kind("thresholds")(saved))
    second.load_state_dict(saved)


@pytest.mark.parametrize(("make", "change", "message"), REFUSALS)
def test_refuses_and_changes_nothing(
    make: Callable[[], Pruner], change: Callable[[State], Any], message: str, saved: State
) -> None:
    pruner = make()
    pruner.step(1.0)
    state = pruner.state_dict()
    weights = [parameter.detach().clone() for parameter in pruner.model.parameters()]
    given = change(saved)
    with pytest.raises(StateError, match=rf"^Pruner\.load_state_dict: .*{message}"):
        pruner.load_state_dict(given)
    assert str(pruner.state_dict()) == str(state)
    assert all(torch.equal(a, b) for a, b in zip(weights, pruner.model.parameters(), strict=True))


def test_refuses_weights_that_another_pruner_has_taken_over(saved: State) -> None:
    model = _model()
    first = _pruner(model)
    for _ in range(10):
        first.step(1.0)
    first.finalize()
    second = _pruner(model)
    with pytest.raises(UsageError, match=r"Pruner: 0\.weight is held by another pruner"):
        first.load_state_dict(saved)
    assert first.is_finalized
    del second
    first.load_state_dict(saved)
    assert not first.is_finalized
    with pytest.raises(UsageError, match=r"0\.weight is held by another pruner"):  # it holds them again
        _pruner(model)


def test_file_is_read_without_unpickling_code(saved: State) -> None:
    file = io.BytesIO()
    torch.save(saved, file)
    file.seek(0)
    _pruner().load_state_dict(torch.load(file, weights_only=True))


def test_channels_last_weights_resume() -> None:
    def pruner() -> Pruner:
        torch.manual_seed(0)
        return _pruner(nn.Conv2d(4, 6, 3).to(memory_format=torch.channels_last), Unstructured(0.5))  # type: ignore[call-overload]

    one, two = pruner(), pruner()
    for _ in range(3):
        one.step(1.0)
    two.load_state_dict(one.state_dict())
    two.model.load_state_dict(one.model.state_dict())
    for run in (one, two):
        with torch.no_grad():
            next(run.model.parameters()).mul_(1.5).add_(0.1)
        run.step(1.0)
    weights = [next(run.model.parameters()) for run in (one, two)]
    assert torch.equal(*weights)
    assert weights[0].is_contiguous(memory_format=torch.channels_last)
    assert str(one.state_dict()) == str(two.state_dict())
