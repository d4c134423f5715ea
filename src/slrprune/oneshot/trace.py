"""One pass of the dense model, to see in which order what is called."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from slrprune.oneshot.blocks import BlockSpec, Slot, find_slot, first_slot
from slrprune.oneshot.collect import version_of
from slrprune.oneshot.layers import PrunableLayer


@dataclass(frozen=True)
class Trace:
    """What one dense pass shows.

    Args:
        order: names of the layers, by their first call.
        calls: how often each layer was called.
        before: the layers first called before the first block.
        is_chain: whether every block got, once and in order, the very tensor that the one before returned, unchanged,
            and none of the blocks' other arguments was changed in place after its block had received it.
    """

    order: tuple[str, ...]
    calls: Mapping[str, int]
    before: frozenset[str]
    is_chain: bool


class Tracer:
    """Watches one pass of the dense model; used as a context manager.

    Args:
        layers: the layers to prune.
        specs: the blocks that might be a chain.
    """

    def __init__(self, layers: Sequence[PrunableLayer], specs: Sequence[BlockSpec]) -> None:
        self._layers = layers
        self._specs = specs
        self._calls: dict[str, int] = {}
        self._before: set[str] = set()
        self._visited: list[int] = []
        self._output: Tensor | None = None
        self._version: int | None = None  # of the output, as it was returned
        self._slots: list[Slot | None] = []
        self._others: list[tuple[Tensor, int | None]] = []  # tensors beside the hidden states, with their versions
        self._is_steady = True
        self._handles: list[torch.utils.hooks.RemovableHandle] = []

    def __enter__(self) -> "Tracer":
        for layer in self._layers:
            for owner in layer.owners:
                self._handles.append(owner.register_forward_pre_hook(self._count(layer.name)))
        for number, spec in enumerate(self._specs):
            self._handles.append(spec.module.register_forward_pre_hook(self._enter(number), with_kwargs=True))
            self._handles.append(spec.module.register_forward_hook(self._leave))
        return self

    def __exit__(self, kind: object, value: object, trace: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._output = None
        self._is_steady = all(version_of(tensor) == version for tensor, version in self._others)
        self._others = []

    def result(self) -> Trace:
        """What was seen."""
        in_order = self._visited == list(range(len(self._specs)))
        slots = self._slots[1:]
        first = self._slots[0] if self._slots else None
        is_chain = in_order and self._is_steady and first is not None and all(slot == first for slot in slots)
        return Trace(tuple(self._calls), dict(self._calls), frozenset(self._before), is_chain)

    def _count(self, name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _args: tuple[object, ...]) -> None:
            self._calls[name] = self._calls.get(name, 0) + 1
            if not self._visited:
                self._before.add(name)

        return hook

    def _enter(self, number: int) -> Callable[..., None]:
        def hook(_module: nn.Module, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
            self._visited.append(number)
            slot = first_slot(args, kwargs) if number == 0 else self._slot_of_output(args, kwargs)
            self._slots.append(slot)
            if slot is not None:
                args, kwargs = slot.put(None, args, kwargs)
            others = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
            self._others += [(tensor, version_of(tensor)) for tensor in others]

        return hook

    def _slot_of_output(self, args: tuple[object, ...], kwargs: dict[str, object]) -> Slot | None:
        """Where a block takes what the one before returned, if it gets that, and as it was."""
        if self._output is None or version_of(self._output) != self._version:
            return None
        return find_slot(self._output, args, kwargs)

    def _leave(self, _module: nn.Module, _args: tuple[object, ...], output: object) -> None:
        first = output[0] if isinstance(output, (tuple, list)) and output else output
        self._output = first if isinstance(first, Tensor) else None
        self._version = None if self._output is None else version_of(self._output)
