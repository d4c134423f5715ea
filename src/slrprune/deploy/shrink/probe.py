"""Which values in a network do not depend on its input: forward passes on NaN, and on noise.

Whatever depends on the input becomes NaN, through any activation, sum or pooling; what is still a number is a
constant, and that number is its value. Where 0 * NaN gives NaN this needs help: in layers with zero weights, norms with
gamma = 0, and products with a constant zero. A comparison makes numbers of NaN too; passes on noise show these.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from slrprune.deploy.shrink.arithmetic import ProbeArithmetic
from slrprune.deploy.shrink.example import map_tensors, run, tensors_in
from slrprune.deploy.shrink.findings import Findings, Reading
from slrprune.deploy.shrink.kinds import (
    Weighted,
    breaks_constants,
    channel_dim,
    is_plain_embedding,
    is_weighted,
    live_connections,
)

Fill = Callable[[Tensor], Tensor]
"""What stands for values that depend on the input, in the shape, dtype and device of the tensor given."""


def nothing(like: Tensor) -> Tensor:
    """NaN."""
    return torch.full_like(like, torch.nan)


def noise(sign: int) -> Fill:
    """Normal numbers of many magnitudes, the same in each pass but for their sign; so one of two is above zero."""
    generator = torch.Generator().manual_seed(0)

    def fill(like: Tensor) -> Tensor:
        normal = torch.randn(like.shape, generator=generator, dtype=torch.float64)
        magnitude = 10 ** (3 * torch.rand(like.shape, generator=generator, dtype=torch.float64) - 1)
        return torch.empty_like(like).copy_(sign * normal * magnitude)

    return fill


def probe(model: nn.Module, inputs: object, fill: Fill = nothing, known: Findings | None = None) -> Findings:
    """Runs `model`, in eval mode, on `inputs` with `fill` in all floating tensors, and where layers depend on them.

    Integer inputs are taken as they are, so what follows from them alone (a mask turned into numbers) looks constant:
    compare with a probe on other integers. Every embedding counts as depending on the input.

    Args:
        model: in eval mode.
        inputs: an example.
        fill: stands for values that depend on the input.
        known: what a pass on NaN showed, for a pass on noise, in which one cannot see it.
    """
    findings = Findings()
    blank = map_tensors(lambda tensor: fill(tensor) if tensor.is_floating_point() else tensor, inputs)
    with torch.no_grad(), ProbeArithmetic(), _hooks(model, findings, fill, known or findings):
        outputs = tensors_in(run(model, blank))
    findings.output_depends = any(bool(tensor.isnan().any()) for tensor in outputs if tensor.is_floating_point())
    return findings


def path_of(model: nn.Module, inputs: object) -> tuple[list[Tensor], list[str]]:
    """The tensors in the model's output, and the names of the modules called on the way."""
    path: list[str] = []
    with torch.no_grad(), ExitStack() as stack:
        _record_path(model, path, stack)
        return tensors_in(run(model, inputs)), path


def _record_path(model: nn.Module, path: list[str], stack: ExitStack) -> None:
    def hook(name: str) -> Callable[..., None]:
        return lambda *_: path.append(name)

    for name, module in model.named_modules():
        stack.callback(module.register_forward_pre_hook(hook(name)).remove)


@contextmanager
def _hooks(model: nn.Module, findings: Findings, fill: Fill, known: Findings) -> Iterator[None]:
    with ExitStack() as stack:
        _record_path(model, findings.path, stack)
        for name, module in model.named_modules():
            if is_weighted(module):
                watch = _Watch(name, module, findings, fill, known)
                stack.callback(module.register_forward_pre_hook(watch.before, with_kwargs=True).remove)
                stack.callback(module.register_forward_hook(watch.after).remove)
            elif is_plain_embedding(module):
                stack.callback(module.register_forward_hook(_embedding_hook(fill)).remove)
            elif isinstance(module, (_BatchNorm, _InstanceNorm)):
                stack.callback(module.register_forward_pre_hook(_forget_input).remove)
        yield


class _Watch:
    """The hooks of one layer: they note what it reads, keep NaN out of it, and put `fill` where it comes out."""

    def __init__(self, name: str, layer: Weighted, findings: Findings, fill: Fill, known: Findings) -> None:
        self.name = name
        self.dim = channel_dim(layer)
        self.live = live_connections(layer)
        self.findings = findings
        self.fill = fill
        self.known = known
        self.breaks = breaks_constants(layer)
        self.spreading = torch.zeros(0)

    def before(self, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Notes the values per channel; hands them on with zeros in place of NaN."""
        given = args[0] if args else kwargs["input"]
        values = given.detach().movedim(self.dim, 0).flatten(1)
        reading = Reading(values.isnan().any(1), values.amin(1), values.amax(1))
        self.findings.readings.setdefault(self.name, reading).widen(reading)
        constants = self.known.readings[self.name].constants()
        # What zeros make of a constant at the border depends on the size of the map: it is a constant in none.
        self.spreading = constants.isnan() | (constants != 0) if self.breaks else constants.isnan()
        cleaned = torch.where(given.isnan(), 0, given)
        return ((cleaned, *args[1:]), kwargs) if args else (args, {**kwargs, "input": cleaned})

    def after(self, layer: nn.Module, args: object, output: Tensor) -> Tensor:
        """`fill` in every output that reads, by a weight that is not zero, anything but constants."""
        depends = self.live[:, self.spreading].any(1)
        return torch.where(depends.view([-1] + [1] * (-self.dim - 1)), self.fill(output), output)


def _embedding_hook(fill: Fill) -> Callable[..., Tensor]:
    def hook(layer: nn.Embedding, _: object, output: Tensor) -> Tensor:
        differs = (layer.weight != layer.weight[:1]).any(0)
        return torch.where(differs, fill(output), output)

    return hook


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
