"""Which values in a network do not depend on its input: one forward pass on NaN.

Whatever depends on the input becomes NaN, through any activation, sum or pooling; what is still a number is a
constant, and that number is its value. Where 0 * NaN gives NaN this needs help: in layers with zero weights, norms with
gamma = 0, and products with a constant zero.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.overrides import TorchFunctionMode

from slrprune.deploy.shrink.example import blank, run, tensors_in
from slrprune.deploy.shrink.kinds import (
    Weighted,
    breaks_constants,
    channel_dim,
    is_plain_embedding,
    is_weighted,
    live_connections,
)

ROUNDING = 1000.0
"""Two values of a constant may differ by this many roundings: vector units and scalar code round differently."""


@dataclass
class Reading:
    """What a layer found in each of its input channels, over all positions and calls.

    Attributes:
        depends: bool, True where the value depends on the model's input.
        low: smallest value of each channel; NaN where the value depends on the input.
        high: largest value.
        calls: how often the layer was called in one pass.
    """

    depends: Tensor
    low: Tensor
    high: Tensor
    calls: int = 1

    def widen(self, other: "Reading") -> None:
        """Takes in the values that another call, or a pass on other inputs, found."""
        self.depends = self.depends | other.depends
        self.low = torch.minimum(self.low, other.low)
        self.high = torch.maximum(self.high, other.high)

    def constants(self) -> Tensor:
        """The value of each channel; NaN where it depends on the input, or differs between positions."""
        rounding = ROUNDING * torch.finfo(self.low.dtype).eps
        scale = torch.maximum(self.low.abs(), self.high.abs())
        # Halfway between the extremes: exactly zero if both are.
        middle = self.low + (self.high - self.low) / 2
        return torch.where(self.high - self.low <= rounding * scale, middle, torch.nan)


@dataclass
class Findings:
    """What a pass on NaN showed.

    Attributes:
        readings: by name of the layer.
        path: names of all modules called, in order.
        output_depends: whether anything in the model's output depends on its input.
    """

    readings: dict[str, Reading] = field(default_factory=dict)
    path: list[str] = field(default_factory=list)
    output_depends: bool = False

    def widen(self, other: "Findings") -> None:
        """Takes in what a pass on other inputs found; the path stays."""
        for name, reading in other.readings.items():
            self.readings.setdefault(name, reading).widen(reading)
        self.output_depends = self.output_depends or other.output_depends


def probe(model: nn.Module, inputs: object) -> Findings:
    """Runs `model`, in eval mode, on `inputs` with NaN in all floating tensors.

    Integer inputs are taken as they are, so what follows from them alone (a mask turned into numbers) looks constant:
    compare with a probe on other integers. Every embedding counts as depending on the input.
    """
    findings = Findings()
    with torch.no_grad(), _Arithmetic(), _hooks(model, findings):
        outputs = tensors_in(run(model, blank(inputs)))
    findings.output_depends = any(bool(tensor.isnan().any()) for tensor in outputs if tensor.is_floating_point())
    return findings


def path_of(model: nn.Module, inputs: object) -> tuple[list[Tensor], list[str]]:
    """The tensors in the model's output, and the names of the modules called on the way."""
    path: list[str] = []
    with torch.no_grad(), ExitStack() as stack:
        _record_path(model, path, stack)
        return tensors_in(run(model, inputs)), path


class _Arithmetic(TorchFunctionMode):
    """0 * NaN = 0, so that a channel of zeros stays so under any gate; and no constants out of pools that pad zeros."""

    _PRODUCTS = (
        torch.mul,
        torch.multiply,
        Tensor.mul,
        Tensor.multiply,
        Tensor.mul_,
        Tensor.__mul__,
        Tensor.__rmul__,
        Tensor.__imul__,
    )
    _POOLS = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs `func`; mends products of two floating tensors, and averages that count padded zeros."""
        kwargs = kwargs or {}
        if func in self._POOLS and _counts_padding(args, kwargs):
            averages = func(*args, **kwargs)
            return averages.masked_fill(averages != 0, torch.nan)
        if func in self._PRODUCTS and all(isinstance(arg, Tensor) and arg.is_floating_point() for arg in args):
            zero = torch.stack(torch.broadcast_tensors(*(arg == 0 for arg in args))).any(0)
            return func(*args, **kwargs).masked_fill_(zero, 0)
        return func(*args, **kwargs)


def _counts_padding(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether an average pool, called so, takes padded zeros for values."""
    padding = args[3] if len(args) > 3 else kwargs.get("padding", 0)
    counted = args[5] if len(args) > 5 else kwargs.get("count_include_pad", True)
    return bool(counted) and any((padding,) if isinstance(padding, int) else padding)


def _record_path(model: nn.Module, path: list[str], stack: ExitStack) -> None:
    def hook(name: str) -> Callable[..., None]:
        return lambda *_: path.append(name)

    for name, module in model.named_modules():
        stack.callback(module.register_forward_pre_hook(hook(name)).remove)


@contextmanager
def _hooks(model: nn.Module, findings: Findings) -> Iterator[None]:
    with ExitStack() as stack:
        _record_path(model, findings.path, stack)
        for name, module in model.named_modules():
            if is_weighted(module):
                watch = _Watch(name, module, findings)
                stack.callback(module.register_forward_pre_hook(watch.before, with_kwargs=True).remove)
                stack.callback(module.register_forward_hook(watch.after).remove)
            elif is_plain_embedding(module):
                stack.callback(module.register_forward_hook(_embedding_depends).remove)
            elif isinstance(module, (_BatchNorm, _InstanceNorm)):
                stack.callback(module.register_forward_pre_hook(_forget_input).remove)
        yield


class _Watch:
    """The hooks of one layer: they note what it reads, keep NaN out of it, and put NaN where it comes out."""

    def __init__(self, name: str, layer: Weighted, findings: Findings) -> None:
        self.name = name
        self.dim = channel_dim(layer)
        self.live = live_connections(layer)
        self.findings = findings
        self.breaks = breaks_constants(layer)
        self.spreading = torch.zeros(0)

    def before(self, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Notes the values per channel; hands them on with zeros in place of NaN."""
        given = args[0] if args else kwargs["input"]
        values = given.detach().movedim(self.dim, 0).flatten(1)
        reading = Reading(values.isnan().any(1), values.amin(1), values.amax(1))
        constants = reading.constants()
        # What zeros make of a constant at the border depends on the size of the map: it is a constant in none.
        self.spreading = constants.isnan() | (constants != 0) if self.breaks else constants.isnan()
        known = self.findings.readings.setdefault(self.name, reading)
        if known is not reading:
            known.widen(reading)
            known.calls += 1
        cleaned = torch.where(given.isnan(), 0, given)
        return ((cleaned, *args[1:]), kwargs) if args else (args, {**kwargs, "input": cleaned})

    def after(self, layer: nn.Module, args: object, output: Tensor) -> Tensor:
        """NaN in every output that reads, by a weight that is not zero, anything but constants."""
        depends = self.live[:, self.spreading].any(1)
        return output.movedim(self.dim, -1).masked_fill(depends, torch.nan).movedim(-1, self.dim)


def _embedding_depends(layer: nn.Embedding, _: object, output: Tensor) -> Tensor:
    differs = (layer.weight != layer.weight[:1]).any(0)
    return output.masked_fill(differs, torch.nan)


def _forget_input(norm: _BatchNorm | _InstanceNorm, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Zeros in the channels whose output is beta, whatever comes in.

    Those with gamma = 0; and constants where the norm takes the mean from what comes in, which leaves only rounding.
    """
    if not args:
        return args
    values = args[0].movedim(1, 0).flatten(1)
    forgotten = torch.zeros(len(values), dtype=torch.bool, device=values.device)
    if norm.affine:
        forgotten = norm.weight == 0
    if norm.running_mean is None:
        forgotten = forgotten | (values.amin(1) == values.amax(1))
    return (args[0].masked_fill(forgotten.view([1, -1] + [1] * (args[0].ndim - 2)), 0), *args[1:])
