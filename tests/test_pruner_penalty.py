"""What the pruner asks of the loop beside `step`: the penalty of coupled methods, and the probe."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from slrprune import (
    ADMM,
    SLR,
    ClassicSLR,
    Global,
    GradualMagnitude,
    Method,
    Pruner,
)
from slrprune.errors import UsageError


def _model() -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4))


def _start(
    model: nn.Module, rules: object = None, *, total_steps: int = 10, method: Method | None = None, **options: object
) -> tuple[Pruner, Callable[[], None]]:
    """A pruner, and one step of training with it."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    rules = Global(0.75) if rules is None else rules
    pruner = Pruner(model, optimizer, rules, total_steps=total_steps, method=method, **options)  # type: ignore[arg-type]

    def step() -> None:
        loss = model(torch.ones(3, 6)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        pruner.step(loss)

    return pruner, step


def test_coupled_penalty_reaches_backward_or_is_missed() -> None:
    model = _model()
    method = ADMM(interval=2, coupled=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    pruner = Pruner(model, optimizer, Global(0.75), total_steps=10, method=method)
    message = r"Pruner\.step: ADMM\(coupled=True\) saw no penalty\(\)\. Train on loss \+ pruner\.penalty\(\)"
    with pytest.raises(UsageError, match=message):
        pruner.step(1.0)
    pruner.penalty()  # computed, but not part of what was differentiated
    with pytest.raises(UsageError, match=message):
        pruner.step(1.0)
    assert pruner.steps == 0
    pruner.penalty().backward()
    pruner.step(1.0)
    with pytest.raises(UsageError, match=message):  # once per step
        pruner.step(1.0)
    (0.25 * pruner.penalty()).backward()  # as with gradient accumulation
    (0.25 * pruner.penalty()).backward()
    pruner.step(1.0)
    pruner.penalty().backward()
    pruner.step(1.0, skipped=True)
    with pytest.raises(UsageError, match=message):  # the skipped step has used it up
        pruner.step(1.0)
    assert pruner.steps == 2


@pytest.mark.parametrize("method", [SLR(), ADMM(), GradualMagnitude()], ids=repr)
def test_penalty_of_a_decoupled_method_is_refused(method: Method) -> None:
    pruner, _ = _start(_model(), total_steps=100, method=method)
    message = rf"Pruner\.penalty: {type(method).__name__} applies its penalty in step\(\)\. Leave penalty\(\) out"
    with pytest.raises(UsageError, match=message):
        pruner.penalty()


def test_probe_runs_without_gradients_and_only_where_a_method_asks_for_f() -> None:
    calls = []

    def probe() -> Tensor:
        calls.append(torch.is_grad_enabled())
        return torch.tensor(1.0)

    for method, asked in ((ClassicSLR(interval=5), 2), (ADMM(interval=5), 0), (SLR(), 0)):
        calls.clear()
        _, step = _start(_model(), method=method, probe=probe)
        for _ in range(10):
            step()
        assert calls == [False] * asked
