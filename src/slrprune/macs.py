"""What one weight costs: the multiply-accumulates that it takes part in during one forward pass."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from slrprune.errors import ArgumentError


@dataclass(frozen=True)
class _Call:
    """One call of a module in the forward pass."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    output: Any

    def input(self, position: int, name: str) -> Tensor:
        """The input at this position, or of this name."""
        given = self.args[position] if position < len(self.args) else self.kwargs[name]
        assert isinstance(given, Tensor)
        return given


Counter = Callable[[nn.Module, _Call], Mapping[str, int]]
"""From a call to the uses of a single entry, by parameter of the module."""


def macs_per_weight(model: nn.Module, weights: Mapping[str, Tensor], example_input: object) -> tuple[int, ...]:
    """Multiply-accumulates per single weight of each tensor, in the order of `weights`.

    One forward pass in eval mode without gradients, counted by hooks that are removed afterwards. Padding counts as
    computed. In `MultiheadAttention` every entry of `in_proj_weight` takes the mean over query, key and value.

    Args:
        model: owner of the weights; its training flags are put back.
        weights: name to parameter of `model`.
        example_input: a tensor, a tuple of positional arguments, or a dict of keyword arguments of `model`.

    Raises:
        ArgumentError: a weight that the pass does not use, or whose module is of a kind that we cannot count.
    """
    counted: dict[int, int] = {}
    flags = [(module, module.training) for module in model.modules()]
    with ExitStack() as stack, torch.no_grad():
        for module in model.modules():
            counter = _counter(module)
            if counter is not None:
                stack.callback(module.register_forward_hook(_hook(counter, counted), with_kwargs=True).remove)
        for module, was_training in flags:
            stack.callback(setattr, module, "training", was_training)
        model.eval()
        _call(model, example_input)
    for name, weight in weights.items():
        if not counted.get(weight.data_ptr()):
            rule = f"must make the model use {name} in a convolution, a linear layer or an attention projection"
            raise ArgumentError("Global", "example_input", type(example_input).__name__, rule, "Or leave it out.")
    return tuple(counted[weight.data_ptr()] for weight in weights.values())


def _call(model: nn.Module, example_input: object) -> None:
    if isinstance(example_input, Mapping):
        model(**example_input)
    elif isinstance(example_input, tuple):
        model(*example_input)
    else:
        model(example_input)


def _hook(counter: Counter, counted: dict[int, int]) -> Callable[..., None]:
    """A forward hook that adds to `counted`, whose keys are storage addresses: a detached weight has the same."""

    def count(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: object) -> None:
        for attribute, uses in counter(module, _Call(args, kwargs, output)).items():
            owner, _, name = attribute.rpartition(".")
            weight = module.get_submodule(owner)._parameters.get(name)
            if weight is not None:  # else a parametrization or a hook computes it anew, and it is no parameter
                counted[weight.data_ptr()] = counted.get(weight.data_ptr(), 0) + uses

    return count


def _counter(module: nn.Module) -> Counter | None:
    for kinds, counter in _COUNTERS.items():
        if isinstance(module, kinds):
            return counter
    # By name: transformers is not a dependency. Its Conv1D is a linear layer stored as (in, out).
    return _by_input if type(module).__name__ == "Conv1D" else None


def _by_output(module: nn.Module, call: _Call) -> Mapping[str, int]:
    return {"weight": call.output.numel() // _rows(module)}


def _by_input(module: nn.Module, call: _Call) -> Mapping[str, int]:
    return {"weight": call.input(0, "input").numel() // _rows(module)}


def _rows(module: nn.Module) -> int:
    weight = module.weight  # not `get_parameter`: a parametrization may compute it
    assert isinstance(weight, Tensor)
    return len(weight)


def _by_token(module: nn.Module, call: _Call) -> Mapping[str, int]:
    given = [call.input(position, role) for position, role in enumerate(("query", "key", "value"))]
    query, key, value = (tokens.numel() // tokens.shape[-1] for tokens in given)
    if isinstance(module.in_proj_weight, Tensor):
        return {"in_proj_weight": (query + key + value) // 3, "out_proj.weight": query}
    return {"q_proj_weight": query, "k_proj_weight": key, "v_proj_weight": value, "out_proj.weight": query}


_COUNTERS: dict[tuple[type[nn.Module], ...], Counter] = {
    (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d): _by_output,
    (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d): _by_input,
    (nn.MultiheadAttention,): _by_token,
}
