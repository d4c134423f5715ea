"""Re-estimation of BatchNorm's running statistics, for weights that were cut after the statistics were taken."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from slrprune.errors import ArgumentError, UsageError


@torch.no_grad()
def reestimate_batchnorm(
    model: nn.Module, batches: Iterable[Any], *, forward: Callable[[nn.Module, Any], object] | None = None
) -> int:
    """Replaces the running statistics of every BatchNorm layer by plain averages over `batches`.

    The classic methods move weights far at the hard cut, and stale statistics then cost points of accuracy that the
    weights do not deserve to lose. `SLR` ends on the statistics of its own sparse weights and rarely needs this.

    Args:
        model: run in evaluation mode except for BatchNorm; modes and momenta are restored.
        batches: inputs, or tuples whose first entry is the input; a few thousand examples are enough.
        forward: how to run one batch; by default `model(batch)` or `model(batch[0])`.

    Returns:
        How many layers were re-estimated; a layer that no batch reached keeps its statistics.

    Raises:
        ArgumentError: one tensor in place of batches.
        UsageError: no batch was given; the statistics are as before.
    """
    if isinstance(batches, Tensor):
        shape, way_out = tuple(batches.shape), "Put a single batch into a list."
        rule = "must be an iterable of batches, not one tensor"
        raise ArgumentError("reestimate_batchnorm", "batches", shape, rule, way_out)
    layers = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    if not layers:
        return 0
    run = forward if forward is not None else _default_forward
    modes = [(module, module.training) for module in model.modules()]
    saved = [(layer, layer.momentum, {name: b.clone() for name, b in layer.named_buffers()}) for layer in layers]
    seen = finished = False
    try:
        model.eval()
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None  # a cumulative average: every batch counts alike
            layer.train()
        for batch in batches:
            run(model, batch)
            seen = True
        finished = seen
    finally:
        for layer, momentum, _ in saved:
            layer.momentum = momentum
        for module, training in modes:
            module.training = training
        missed = [entry for entry in saved if not finished or not _has_statistics(entry[0])]
        for layer, _, buffers in missed:
            layer.load_state_dict(buffers, strict=False)
    if not finished:
        raise UsageError("reestimate_batchnorm", "no batch was given", "Pass at least one batch of training inputs.")
    return len(layers) - len(missed)


def _has_statistics(layer: _BatchNorm) -> bool:
    """Whether a batch has come by since the reset."""
    return layer.num_batches_tracked is not None and bool(layer.num_batches_tracked)


def _default_forward(model: nn.Module, batch: Any) -> object:
    return model(batch if isinstance(batch, Tensor) else batch[0])
