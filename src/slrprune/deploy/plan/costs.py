"""Multiply-accumulates of one forward pass, weight by weight."""

from collections.abc import Callable
from contextlib import ExitStack

import torch
from torch import Tensor, nn

from slrprune.deploy.shrink.example import described, run
from slrprune.errors import ArgumentError
from slrprune.macs import macs_per_weight
from slrprune.rules import Target, find_targets


def countable(model: nn.Module, inputs: object) -> list[Target]:
    """The weights of convolutions, linear layers and attention that a forward pass uses.

    Raises:
        ArgumentError: the model does not take the example.
    """
    called: dict[nn.Module, None] = {}
    with ExitStack() as stack, torch.no_grad():
        for module in model.modules():
            stack.callback(module.register_forward_pre_hook(_note(called)).remove)
        try:
            run(model, inputs)
        except Exception as error:  # a wrong example fails anywhere in the forward pass
            rule = f"must be what the model takes: {described(error)}"
            way_out = "A tuple is positional arguments, a dict keyword arguments."
            raise ArgumentError("plan", "example_inputs", type(inputs).__name__, rule, way_out) from error
    for module in list(called):
        if isinstance(module, nn.MultiheadAttention):  # which reads the weight of its last layer directly
            called[module.out_proj] = None
    return [target for target in find_targets(model) if target.is_default and target.module in called]


def macs(model: nn.Module, targets: list[Target], inputs: object) -> dict[str, int]:
    """Multiply-accumulates per single weight, by parameter name."""
    weights: dict[str, Tensor] = {target.name: target.parameter for target in targets}
    return dict(zip(weights, macs_per_weight(model, weights, inputs), strict=True)) if weights else {}


def _note(called: dict[nn.Module, None]) -> Callable[..., None]:
    def note(module: nn.Module, *_: object) -> None:
        called[module] = None

    return note
