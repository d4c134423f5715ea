"""H of several layers in one pass: hooks that see what the layers receive."""

from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import NamedTuple

import torch
from torch import Tensor, nn

from slrprune.errors import UsageError
from slrprune.oneshot.gram import Gram
from slrprune.oneshot.layers import PrunableLayer


class PassEnded(Exception):  # noqa: N818  (a signal, not an error)
    """Raised inside a forward pass once everything of interest has been seen."""


def version_of(tensor: Tensor) -> int | None:
    """How often a tensor was changed in place; None for one made in inference mode, where torch does not count."""
    return None if tensor.is_inference() else tensor._version


class _Call(NamedTuple):
    """The latest call of a layer: which one since `forget_inputs`, with which tensor, in which version."""

    number: int
    inputs: Tensor
    version: int | None

    def saw_the_same(self, other: "_Call") -> bool:
        """Whether both got the same tensor, with the same values: none changed it in place in between."""
        return self.inputs is other.inputs and self.version is not None and self.version == other.version


class GramCollector:
    """Accumulates H for some layers while a model runs; used as a context manager.

    Layers that receive the very same tensor in every call, such as the query, key and value projections of a block,
    share one H, unless the tensor is changed in place between their calls. That is decided at the first call of each;
    where a later call contradicts it, `is_sound` is False and the pass has to be repeated with `shares=False`. In
    inference mode nothing is shared, because torch does not say there whether a tensor was changed.

    Args:
        layers: the layers.
        shares: whether layers with the same input share H.
    """

    def __init__(self, layers: Sequence[PrunableLayer], *, shares: bool = True) -> None:
        self._grams = {layer.name: Gram(layer.name, layer.layout) for layer in layers}
        self._leaders: dict[str, str] = {}
        self._latest: dict[str, _Call] = {}
        self._layers = {layer.name: layer for layer in layers}
        self._shares = shares
        self._handles: list[torch.utils.hooks.RemovableHandle] = []
        self._totals = dict.fromkeys(self._grams, 0)
        self._agrees = True

    def __enter__(self) -> "GramCollector":
        for layer in self._layers.values():
            for module in layer.owners:
                self._handles.append(module.register_forward_pre_hook(self._hook(layer.name), with_kwargs=True))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()
        self._latest.clear()

    def gram(self, name: str) -> Gram:
        """The accumulated H of a layer."""
        return self._grams[self._leaders.get(name, name)]

    @property
    def is_sound(self) -> bool:
        """Whether every layer that shares H got the same tensors as the other, in every call."""
        return self._agrees and all(self._totals[one] == self._totals[other] for one, other in self._leaders.items())

    def calls(self, name: str) -> int:
        """How often the layer was called since the last `forget_inputs`."""
        return self._latest[name].number if name in self._latest else 0

    def forget_inputs(self) -> None:
        """Lets go of the tensors of the last pass."""
        self._latest = {}

    def _hook(self, name: str) -> Callable[[nn.Module, tuple[object, ...], dict[str, object]], None]:
        return partial(self._see, name)

    def _see(self, name: str, module: nn.Module, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        inputs = args[0] if args else next(iter(kwargs.values()), None)
        if not isinstance(inputs, Tensor):
            problem = f"was called with a {type(inputs).__name__} where a tensor is expected"
            raise UsageError(name, problem, f"Leave it out with the rule {name!r}: None.")
        call = _Call(self.calls(name) + 1, inputs, version_of(inputs))
        if self._shares and not self._totals[name]:
            leader = self._same_input(name, call)
            if leader is not None:
                self._leaders[name] = leader
        self._latest[name] = call
        self._totals[name] += 1
        if name not in self._leaders:
            self._grams[name].add(inputs)
        else:
            led = self._latest.get(self._leaders[name])
            self._agrees &= led is not None and led.number == call.number and led.saw_the_same(call)

    def _same_input(self, name: str, call: _Call) -> str | None:
        """A layer that has been called once, with this very tensor, and reads it in the same way."""
        layout = self._layers[name].layout
        for other, seen in self._latest.items():
            is_first = self._totals[other] == 1 and other not in self._leaders
            if is_first and seen.saw_the_same(call) and self._layers[other].layout == layout:
                return other
        return None
