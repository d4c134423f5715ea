"""What every hand-over asks of a model and its example before it begins."""

import itertools
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from slrprune.deploy.shrink.example import refused_example, run, tensors_in
from slrprune.errors import UsageError


def as_arguments(inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and keyword arguments of an example: a tuple or a mapping of arguments, or the only argument."""
    if isinstance(inputs, Mapping):
        return (), dict(inputs)
    return (inputs if isinstance(inputs, tuple) else (inputs,)), {}


def reference(model: nn.Module, inputs: Any, where: str) -> list[Tensor]:
    """The tensors that the model gives on the example, without a graph.

    Raises:
        ArgumentError: the model does not take the example.
        UsageError: the model is in training mode, not on the CPU, or gives no tensor.
    """
    if any(module.training for module in model.modules()):
        raise UsageError(where, "the model is in training mode", "Call model.eval() before.")
    tensors = itertools.chain(model.parameters(), model.buffers(), tensors_in(list(as_arguments(inputs))))
    devices = sorted({str(tensor.device) for tensor in tensors if not tensor.is_cpu})
    if devices:
        raise UsageError(where, f"model or example lie on {', '.join(devices)}", "Call .cpu() on both before.")
    with torch.no_grad():
        try:
            outputs = tensors_in(run(model, inputs))
        except Exception as error:  # a wrong example fails anywhere in the forward pass
            raise refused_example(where, inputs, error) from error
    if not outputs:
        raise UsageError(where, "the model's output holds no tensor", "Wrap it so that it returns tensors.")
    return [tensor.clone() for tensor in outputs]
