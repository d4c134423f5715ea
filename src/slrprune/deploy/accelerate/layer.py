"""What is known of one layer: its weight, what it is followed by, and what it is called with."""

import enum
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from slrprune.deploy.shrink.example import run


class Layout(str, enum.Enum):  # a string, so that a report as JSON holds what a saved choice does
    """The memory format of images on their way from layer to layer."""

    CONTIGUOUS = "contiguous"
    """All are contiguous."""
    CHANNELS_LAST = "channels_last"
    """Dense convolutions give channels_last, sparse kernels contiguous ones; each takes what comes."""

    @property
    def other(self) -> "Layout":
        """The one that is not this one."""
        return Layout.CHANNELS_LAST if self is Layout.CONTIGUOUS else Layout.CONTIGUOUS

    def of(self, tensor: Tensor) -> Tensor:
        """`tensor` in this layout; without a copy where it is so already, or is no batch of images."""
        last = self is Layout.CHANNELS_LAST
        memory_format = torch.channels_last if last else torch.contiguous_format
        return tensor.contiguous(memory_format=memory_format) if tensor.dim() == 4 else tensor


@dataclass(frozen=True)
class Call:
    """One input of a layer, as seen in a forward pass over the example."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    layout: Layout

    def example(self) -> Tensor:
        """Normal numbers in this shape and layout, always the same ones."""
        generator = torch.Generator().manual_seed(0)
        return self.layout.of(torch.randn(self.shape, generator=generator).to(self.dtype))


Calls = Mapping[str, tuple[Call, ...]]
"""What each linear and convolution layer is called with, by its name."""


@dataclass(frozen=True, eq=False)
class Layer:
    """A linear or convolution layer, and what its replacement must do.

    Args:
        name: its path in the model.
        module: with the weight and bias to use; BatchNorm may be folded into them.
        relu: whether the replacement ends with ReLU.
        layout: of the images in the model.
        calls: its inputs in one forward pass over the example, in order.
        kept: what a candidate built and does not want to build again for the other layout, by its name.
    """

    name: str
    module: nn.Linear | nn.Conv2d
    relu: bool = False
    layout: Layout = Layout.CONTIGUOUS
    calls: tuple[Call, ...] = ()
    kept: dict[str, nn.Module] = field(default_factory=dict)

    @cached_property
    def sparsity(self) -> float:
        """Fraction of the weight that is zero, in [0, 1]."""
        weight = self.module.weight
        return 1 - int(weight.count_nonzero()) / max(1, weight.numel())

    @property
    def is_called_alike(self) -> bool:
        """Whether the layer is called at least once, and always with the same kind of tensor."""
        return bool(self.calls) and len({(call.dtype, len(call.shape)) for call in self.calls}) == 1

    def examples(self) -> list[Tensor]:
        """One input per call, on the layer's device."""
        return [call.example().to(self.module.weight.device) for call in self.calls]


def obstacle(module: nn.Linear | nn.Conv2d) -> str:
    """Why a layer cannot be replaced, whatever by; empty if it can."""
    weight = module._parameters.get("weight")
    if weight is None or nn.parameter.is_lazy(weight):
        return "its weight is not a plain parameter"
    if type(weight.data) is not Tensor or weight.layout is not torch.strided or not weight.is_floating_point():
        return f"its weight is {_kind(weight)}, no plain floating tensor"
    forward = nn.Linear.forward if isinstance(module, nn.Linear) else nn.Conv2d.forward
    if type(module).forward is not forward or "forward" in vars(module):
        return f"{type(module).__name__} has a forward of its own"
    if module._forward_hooks or module._forward_pre_hooks:
        return "it has forward hooks, which a replacement would not call"
    return ""


def find_layers(model: nn.Module) -> Iterator[tuple[str, nn.Linear | nn.Conv2d]]:
    """Every linear and convolution layer once, by its first name, in the model's order."""
    for name, module in model.named_modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            yield name, module


def observe(model: nn.Module, names: Sequence[str], inputs: object) -> Calls:
    """What the modules of these names are called with in one forward pass."""
    seen: dict[str, list[Call]] = {name: [] for name in names}
    with ExitStack() as stack, torch.no_grad():
        for name in names:
            hook = model.get_submodule(name).register_forward_pre_hook(_note(seen[name]), with_kwargs=True)
            stack.callback(hook.remove)
        run(model, inputs)
    return {name: tuple(calls) for name, calls in seen.items()}


def _note(calls: list[Call]) -> Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], None]:
    def note(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        tensor = next(value for value in (*args, *kwargs.values()) if isinstance(value, Tensor))
        is_last = tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
        layout = Layout.CHANNELS_LAST if is_last and not tensor.is_contiguous() else Layout.CONTIGUOUS
        calls.append(Call(tuple(tensor.shape), tensor.dtype, layout))

    return note


def _kind(weight: Tensor) -> str:
    return f"{type(weight.data).__name__} of {weight.dtype}, {weight.layout}"
