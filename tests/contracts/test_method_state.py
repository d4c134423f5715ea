"""What every method promises about its state: saved, copied, protected, of the size stated."""

import dataclasses
import io
import math
from copy import deepcopy
from itertools import pairwise
from typing import Any

import pytest
import torch
from methods_table import STEPS, Run, every_method, same_bits, tensors_in
from torch import Tensor

from slrprune import (
    SLR,
    Channel,
    ConstraintSet,
    Global,
    Method,
    NoRamp,
    Unstructured,
)
from slrprune.methods.base import Moment, Problem


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
    assert same_bits(second.pruner.state_dict(), first.pruner.state_dict())
    second.train(range(stop, STEPS))

    assert whole.pruner is not None
    assert same_bits(second.pruner.state_dict(), whole.pruner.state_dict())
    whole.pruner.finalize()
    second.pruner.finalize()
    assert all(same_bits(a, b) for a, b in zip(whole.weights, second.weights, strict=True))
    assert same_bits(whole.pruner.state_dict(), second.pruner.state_dict())


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
        handed_out = [*tensors_in(saved), *run.pruner.masks().values()]
        _assert_disjoint([*inside, *model, *handed_out, *loaded])


@every_method
def test_entries_of_the_state_are_there_from_the_start(method: Method) -> None:
    """`torch.distributed.checkpoint` loads what the state of a new pruner has, and nothing else."""
    run = Run(method, {"0": Global(0.75), "2": Unstructured(0.5)})
    assert run.pruner is not None
    before = run.pruner.state_dict()
    run.train(range(STEPS))
    after = run.pruner.state_dict()
    for kind in ("tensors", "scalars", "numbers"):
        assert list(before[kind]) == list(after[kind])


@every_method
def test_same_seed_same_bits(method: Method) -> None:
    runs = [Run(method), Run(method)]
    for run in runs:
        run.train(range(STEPS))
    assert runs[0].pruner is not None
    assert runs[1].pruner is not None
    assert same_bits(runs[0].pruner.state_dict(), runs[1].pruner.state_dict())
    assert all(same_bits(a, b) for a, b in zip(*(run.model.parameters() for run in runs), strict=True))


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
    assert same_bits(state.tensors, before[0])
    mean = ("loss_sum",)  # an update starts a new mean
    assert all(same_bits(state.scalars[name], value) for name, value in before[1].items() if name not in mean)
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
    assert same_bits(state.tensors, before)


@every_method
def test_a_set_that_grows_tighter_takes_nothing_in_an_unusable_step(method: Method) -> None:
    """Whole filters above all: what is forgotten in a bad step could not be had back."""
    torch.manual_seed(0)
    weight = torch.randn(8, 4, dtype=torch.float64)
    problem = Problem(("w",), (weight,), ((Channel(0.75), (0,)),))
    state = method.start(problem)
    loss = torch.tensor(1.0, dtype=torch.float64)
    method.update(problem, state, Moment(1, 0.1, loss, (0.1,), torch.tensor(True)))
    before = deepcopy(state.tensors)
    weight.fill_(math.nan)
    method.update(problem, state, Moment(2, 0.9, loss * math.nan, (0.1,), torch.tensor(False)))
    assert same_bits(state.tensors, before)


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


def _assert_disjoint(tensors: list[Tensor]) -> None:
    """No two storages overlap, and no two tensors share one."""
    spans = sorted(
        (tensor.untyped_storage().data_ptr(), tensor.untyped_storage().data_ptr() + tensor.untyped_storage().nbytes())
        for tensor in tensors
    )
    for (_, end), (start, _) in pairwise(spans):
        assert end <= start
