"""A tiny network with a pruner, and one step of training with it."""

from collections.abc import Callable

import torch
from torch import nn

from slrprune import (
    Global,
    Method,
    Pruner,
)


def small_model() -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4))


def start_pruner(
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
