"""Every method in one table, and a small regression to run it on."""

import dataclasses
from collections.abc import Iterator
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
)
from slrprune.methods import OnFailure
from slrprune.methods.lagrangian import LagrangianMethod

METHODS: dict[str, Method] = {
    "SLR": SLR(),
    "SLR sigma=1 interval=3": SLR(sigma=1.0, interval=3),
    "SLR decaying": SLR(sigma=DecayingStepsize(M=20), decay=0.02, interval=2),
    "SLR relaxed path": SLR(ramp=RelaxedPath()),
    "SLR relaxed path, steered": SLR(ramp=RelaxedPath(slack=0.25), tolerance=0.0, interval=2),
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
    if not isinstance(method.ramp, RelaxedPath)  # relaxing the entries off the support does change the training
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


def tensors_in(value: object) -> Iterator[Tensor]:
    """All tensors in nested dictionaries and sequences."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for entry in value.values():
            yield from tensors_in(entry)
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from tensors_in(entry)


def same_bits(a: Any, b: Any) -> bool:
    """Equal in every bit: minus zero differs from zero, and NaN equals NaN."""
    if isinstance(a, Tensor):
        integers = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[a.element_size()]
        x, y = a.detach().contiguous(), b.detach().contiguous()
        return x.dtype is y.dtype and torch.equal(x.view(integers), y.view(integers))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same_bits(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same_bits(x, y) for x, y in zip(a, b, strict=True))
    return type(a) is type(b) and (a == b or (a != a and b != b))
