"""What the pruner asks of the loop beside `step`: the penalty of coupled methods, and the probe."""

import pytest
import torch
from pruned_network import small_model, start_pruner
from torch import Tensor

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


def test_coupled_penalty_reaches_backward_or_is_missed() -> None:
    model = small_model()
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
    pruner, _ = start_pruner(small_model(), total_steps=100, method=method)
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
        _, step = start_pruner(small_model(), method=method, probe=probe)
        for _ in range(10):
            step()
        assert calls == [False] * asked
