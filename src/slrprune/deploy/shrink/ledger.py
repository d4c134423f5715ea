"""Book-keeping: which channels went, in the numbers of the original model, and which dead ones stayed."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from slrprune.deploy.shrink.cut import Cut, rest
from slrprune.deploy.shrink.kinds import (
    is_depthwise,
    is_per_channel,
    is_plain_embedding,
    is_weighted,
    live_connections,
    width,
)
from slrprune.deploy.shrink.report import LayerCut, Leftover, Side

Reasons = Mapping[tuple[str, Side, int], str]
"""Layer, side, index (in the model as it is now) -> why the channel stays."""


class Ledger:
    """Keeps the original number of every channel that is still there.

    Args:
        model: before the first cut.
    """

    def __init__(self, model: nn.Module) -> None:
        self._widths: dict[tuple[str, Side], int] = {}
        self._left: dict[tuple[str, Side], list[int]] = {}
        for name, module in model.named_modules():
            for side in _SIDES:
                if size := width(module, of_outputs=side == "outputs"):
                    self._widths[name, side] = size
                    self._left[name, side] = list(range(size))

    def note(self, cuts: Iterable[Cut]) -> None:
        """Takes cuts into account that were made together."""
        gone: dict[tuple[str, Side], set[int]] = {}
        for cut in cuts:
            for name, indices in cut.outputs.items():
                gone.setdefault((name, "outputs"), set()).update(indices)
            for name, indices in cut.inputs.items():
                gone.setdefault((name, "inputs"), set()).update(indices)
        for key, lost in gone.items():
            self._left[key] = [self._left[key][index] for index in rest(len(self._left[key]), lost)]

    def layers(self, model: nn.Module) -> tuple[LayerCut, ...]:
        """What each layer of the cut model lost."""
        lost = {key: tuple(rest(self._widths[key], set(left))) for key, left in self._left.items()}
        cuts = []
        for name, module in model.named_modules():
            outputs, inputs = lost.get((name, "outputs"), ()), lost.get((name, "inputs"), ())
            if outputs or inputs:
                tensors: list[Tensor] = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
                cuts.append(LayerCut(name, outputs, inputs, tuple(tensors[0].shape) if tensors else ()))
        return tuple(cuts)

    def leftovers(self, model: nn.Module, reasons: Reasons) -> tuple[Leftover, ...]:
        """The channels of the cut model that are all zero, by layer and reason."""
        leftovers: list[Leftover] = []
        for name, module in model.named_modules():
            if is_weighted(module) or is_plain_embedding(module):
                for side, dead in _dead(module).items():
                    leftovers += self._explained(name, side, dead, reasons)
            elif not is_per_channel(module):
                leftovers += _unknown(name, module)
        return tuple(leftovers)

    def _explained(self, name: str, side: Side, dead: list[int], reasons: Reasons) -> list[Leftover]:
        by_reason: dict[str, list[int]] = {}
        for index in dead:
            why = reasons.get((name, side, index)) or _DEFAULT_REASONS[side]
            by_reason.setdefault(why, []).append(self._left[name, side][index])
        return [Leftover(name, side, tuple(channels), why) for why, channels in by_reason.items()]


_SIDES: tuple[Side, ...] = ("outputs", "inputs")

_DEFAULT_REASONS: dict[Side, str] = {
    "outputs": "torch-pruning does not find what reads it",
    "inputs": "it is an input of the model, or torch-pruning does not find what writes it",
}


def _dead(layer: nn.Module) -> dict[Side, list[int]]:
    """Outputs and inputs that have nothing but zeros as weights."""
    if isinstance(layer, nn.Embedding):
        return {"outputs": _positions((layer.weight == 0).all(0))}
    assert is_weighted(layer)
    live = live_connections(layer)
    outputs = _positions(~live.any(1))
    # A depthwise convolution has one filter for each channel: both sides are the same.
    return {"outputs": outputs} if is_depthwise(layer) else {"outputs": outputs, "inputs": _positions(~live.any(0))}


def _unknown(name: str, module: nn.Module) -> list[Leftover]:
    """Zero rows of layers that shrink does not know: attention projections, recurrent layers, layers of others."""
    leftovers = []
    of_outputs = 1 if type(module).__name__ == "Conv1D" else 0  # transformers' linear layer, stored as (in, out)
    for attribute, weight in module.named_parameters(recurse=False):
        if weight.ndim > 1 and (dead := _positions((weight == 0).movedim(of_outputs, 0).flatten(1).all(1))):
            path = f"{name}.{attribute}" if name else attribute
            leftovers.append(Leftover(path, "outputs", tuple(dead), f"shrink cannot cut a {type(module).__name__}"))
    return leftovers


def _positions(mask: Tensor) -> list[int]:
    return [int(index) for index in torch.nonzero(mask).flatten()]
