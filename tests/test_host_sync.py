"""On accelerators a step of the pruner never waits for the device.

Without one, the meta device stands in: it takes the accelerator's branches, has no values that could be read, and a
dispatch mode sees every copy between devices. What a CUDA kernel does inside is seen only by the test that needs one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from no_traffic import NoTraffic
from torch import nn

import slrprune.pruner
from slrprune import (
    ADMM,
    NM,
    SLR,
    Block,
    Channel,
    ClassicSLR,
    Column,
    ConstraintSet,
    Global,
    GradualMagnitude,
    KernelPattern,
    Method,
    OneShot,
    Pruner,
    QuadraticPenalty,
    RelaxedPath,
    Unstructured,
)
from slrprune.methods import OnFailure

METHODS: list[Method] = [
    SLR(),
    SLR(ramp=RelaxedPath(slack=0.25), tolerance=0.0),
    SLR(interval=2, decay=0.1, ramp=RelaxedPath()),
    ClassicSLR(interval=2),
    ClassicSLR(interval=2, on_failure=OnFailure.ROLLBACK, summed_norms=True),
    ADMM(interval=2),
    ADMM(interval=2, coupled=True),
    QuadraticPenalty(interval=2),
    GradualMagnitude(interval=2),
    OneShot(),
]
SETS: list[ConstraintSet] = [
    Unstructured(0.5),
    Global(0.5),
    Global(0.5, allocation="lamp"),
    Global(0.5, allocation="erk"),
    Global(0.5, allocation="uniform"),
    NM(2, 4),
    Block((4, 1), 0.5),
    Channel(0.5),
    Column(0.5),
    KernelPattern(connectivity=0.5),
]
# A method does not know its set: each method with one set, and each set with one method.
PAIRS = [*((method, SETS[1]) for method in METHODS), *((METHODS[0], rules) for rules in SETS)]
every_pair = pytest.mark.parametrize(
    ("method", "rules"), PAIRS, ids=[f"{type(method).__name__}-{rules}" for method, rules in PAIRS]
)


def _model(device: str) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(8, 8, 3, device=device), nn.Conv2d(8, 16, 3, device=device))


def _pruner(device: str, method: Method, rules: ConstraintSet, **options: Any) -> tuple[Pruner, torch.optim.Optimizer]:
    model = _model(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return Pruner(model, optimizer, rules, total_steps=8, method=method, **options), optimizer


@contextmanager
def _unread_weights() -> Iterator[None]:
    """Building reads the weights once, to refuse NaN; on meta there is nothing to read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slrprune.pruner, "refuse_non_finite", lambda problem: None)
        yield


@every_pair
def test_steps_read_nothing_back(method: Method, rules: ConstraintSet) -> None:
    with _unread_weights():
        pruner, _ = _pruner("meta", method, rules)
    loss = torch.ones((), device="meta")
    with NoTraffic():
        for step in range(8):
            if method.is_coupled:
                pruner.penalty().backward()
            pruner.step(loss if step % 2 else 0.5)  # a number is written to the device, which needs no waiting either
    assert pruner.steps == 8


def test_the_stand_in_would_notice() -> None:
    """The test above can fail: a read-out of the records does wait, and a loss on the host does travel."""
    with _unread_weights():
        pruner, _ = _pruner("meta", SLR(), Global(0.5), read_every=2)
    loss = torch.ones((), device="meta")
    with NoTraffic():
        pruner.step(loss)
        with pytest.raises(Exception, match=r"(?i)meta"):
            pruner.step(loss)
    with _unread_weights():
        pruner, _ = _pruner("meta", SLR(), Global(0.5))
    with NoTraffic(), pytest.raises(AssertionError, match="touches"):
        pruner.step(torch.ones(()))


@pytest.mark.gpu
@every_pair
def test_steps_never_wait_for_cuda(method: Method, rules: ConstraintSet) -> None:
    pruner, optimizer = _pruner("cuda", method, rules)
    inputs = torch.ones(2, 8, 6, 6, device="cuda")
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(8):
            loss = pruner.model(inputs).square().mean()
            optimizer.zero_grad()
            (loss + pruner.penalty() if method.is_coupled else loss).backward()
            optimizer.step()
            pruner.step(loss)
            pruner.step(0.5, skipped=True)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert pruner.finalize().sparsity > 0.4
    assert len(pruner.records()) >= 4


@pytest.mark.gpu
@pytest.mark.parametrize("method", METHODS, ids=lambda method: type(method).__name__)
def test_nan_on_cuda_is_noticed_late_and_harms_nothing(method: Method) -> None:
    if method.is_coupled:
        pytest.skip("as the decoupled form")
    pruner, _ = _pruner("cuda", method, Global(0.5), read_every=1000)
    for _ in range(2):
        pruner.step(1.0)
    pruner.step(float("nan"))
    pruner.step(1.0)
    for tensors in pruner._state.tensors.values():
        assert all(bool(tensor.isfinite().all()) for tensor in tensors)
    with pytest.raises(slrprune.errors.NonFiniteError, match="at or before step 4"):
        pruner.finalize()
    assert not pruner.is_finalized


@pytest.mark.gpu
@pytest.mark.parametrize("method", METHODS, ids=lambda method: type(method).__name__)
def test_cuda_agrees_with_the_cpu(method: Method) -> None:
    """Double precision and exact selections: the same masks, and the same numbers up to rounding."""
    results = []
    for device in ("cpu", "cuda"):
        torch.manual_seed(0)
        model = _model("cpu").double().to(device)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        pruner = Pruner(model, optimizer, Global(0.5), total_steps=8, method=method)
        inputs = torch.linspace(-1, 1, 2 * 8 * 6 * 6, dtype=torch.float64).view(2, 8, 6, 6).to(device)
        for _ in range(8):
            loss = model(inputs).square().mean()
            optimizer.zero_grad()
            (loss + pruner.penalty() if method.is_coupled else loss).backward()
            optimizer.step()
            pruner.step(loss)
        pruner.finalize()
        results.append([parameter.detach().cpu() for parameter in model.parameters()])
    for one, other in zip(*results, strict=True):
        assert torch.allclose(one, other, rtol=1e-9, atol=1e-12)
        assert torch.equal(one == 0, other == 0)
