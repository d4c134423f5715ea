"""Times of forward passes: of a model, and of the layers in it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

_ROUNDS = 10
_LIMIT_S = 2.0  # a large network need not be run ten times


def forward_ms(model: nn.Module, example: Tensor) -> float:
    """Median time of a forward pass in milliseconds; after one pass that is not counted."""
    with _inference(model):
        model(example)
        return 1e3 * median(_rounds(model, example))


def layer_seconds(model: nn.Module, example: Tensor) -> dict[str, float]:
    """Median time of the forward pass of every leaf module, by name, in seconds.

    The hooks that measure cost some microseconds themselves, and on an accelerator they wait for it.
    """
    found: dict[str, list[float]] = {}
    started: dict[str, float] = {}
    handles = []
    for name, module in model.named_modules():
        if not list(module.children()):
            handles.append(module.register_forward_pre_hook(_starter(name, started, example.device)))
            handles.append(module.register_forward_hook(_stopper(name, started, found, example.device)))
    try:
        with _inference(model):
            model(example)
            found.clear()
            for _ in _rounds(model, example):
                pass
    finally:
        for handle in handles:
            handle.remove()
    return {name: median(times) for name, times in found.items()}


def _rounds(model: nn.Module, example: Tensor) -> Iterator[float]:
    begin = time.perf_counter()
    for _ in range(_ROUNDS):
        start = _now(example.device)
        model(example)
        yield _now(example.device) - start
        if time.perf_counter() - begin > _LIMIT_S:
            return


def _starter(name: str, started: dict[str, float], device: torch.device) -> Any:
    def start(*_: object) -> None:
        started[name] = _now(device)

    return start


def _stopper(name: str, started: dict[str, float], found: dict[str, list[float]], device: torch.device) -> Any:
    def stop(*_: object) -> None:
        found.setdefault(name, []).append(_now(device) - started[name])

    return stop


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


@contextmanager
def _inference(model: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training
