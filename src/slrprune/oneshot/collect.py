"""H of several layers in one pass: hooks that see what the layers receive."""

from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType

import torch
from torch import Tensor, nn

from slrprune.errors import UsageError
from slrprune.oneshot.gram import Gram
from slrprune.oneshot.layers import PrunableLayer


class PassEnded(Exception):  # noqa: N818  (a signal, not an error)
    """Raised inside a forward pass once everything of interest has been seen."""


class GramCollector:
    """Accumulates H for some layers while a model runs; used as a context manager.

    Layers that receive the very same tensor in every call, such as the query, key and value projections of a block,
    share one H. That is decided at the first call of each; where a later call contradicts it, `is_sound` is False and
    the pass has to be repeated with `shares=False`.

    Args:
        layers: the layers.
        shares: whether layers with the same input share H.
    """

    def __init__(self, layers: Sequence[PrunableLayer], *, shares: bool = True) -> None:
        self._grams = {layer.name: Gram(layer.name, layer.layout) for layer in layers}
        self._leaders: dict[str, str] = {}
        self._latest: dict[str, tuple[int, Tensor]] = {}
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
        return self._latest[name][0] if name in self._latest else 0

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
        if self._shares and not self._totals[name]:
            leader = self._same_input(name, inputs)
            if leader is not None:
                self._leaders[name] = leader
        call = (self.calls(name) + 1, inputs)
        self._latest[name] = call
        self._totals[name] += 1
        if name not in self._leaders:
            self._grams[name].add(inputs)
        else:
            number, seen = self._latest.get(self._leaders[name], (0, None))
            self._agrees &= number == call[0] and seen is inputs

    def _same_input(self, name: str, inputs: Tensor) -> str | None:
        """A layer that has been called once, with this very tensor, and reads it in the same way."""
        layout = self._layers[name].layout
        for other, (_, seen) in self._latest.items():
            is_first = self._totals[other] == 1 and other not in self._leaders
            if is_first and seen is inputs and self._layers[other].layout == layout:
                return other
        return None
