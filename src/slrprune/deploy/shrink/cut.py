"""Taking channels out of a model, and putting what they contributed elsewhere."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from slrprune.deploy.shrink.kinds import (
    Weighted,
    blocks,
    connections,
    fit_attributes,
    is_depthwise,
    is_stateless_norm,
    is_weighted,
)
from slrprune.deploy.shrink.resize import replace_tensor


class Fold(Protocol):
    """A change of one layer that makes up for inputs which are about to go."""

    def apply_(self, model: nn.Module) -> None:
        """Changes the layer in `model`, whose channels still have their old numbers."""


@dataclass(frozen=True)
class Shift:
    """Constant inputs of a layer become part of its bias, or of the running mean of the BatchNorm behind it.

    y = sum_j G_j c_j + ...: the bias grows by sum_j G_j c_j, G_j the weights of input j summed over the kernel; where
    there is no bias the mean falls by as much, since BatchNorm gives gamma (y - mean) / sigma + beta.

    Args:
        reader: name of the layer.
        constants: value of each input, by its index.
        norm: name of the BatchNorm; None where the layer has a bias.
    """

    reader: str
    constants: Mapping[int, float]
    norm: str | None = None

    def apply_(self, model: nn.Module) -> None:
        """Changes bias or running mean in place."""
        layer = model.get_submodule(self.reader)
        assert is_weighted(layer)
        gains = connections(layer, layer.weight)[:, list(self.constants)]
        shift = gains @ gains.new_tensor(list(self.constants.values()))
        if self.norm is None:
            assert layer.bias is not None
            layer.bias += shift
        else:
            model.get_submodule(self.norm).get_buffer("running_mean").sub_(shift)


@dataclass(frozen=True)
class Merge:
    """Constant inputs of a layer become part of another constant input, which carries them from now on.

    W_r c_r + W_j c_j = (W_r + W_j c_j / c_r) c_r, whatever padding or stride do: the weights move, no value does.

    Args:
        reader: name of the layer; not a grouped convolution.
        parts: (j, r, c_j / c_r) for every input j.
    """

    reader: str
    parts: tuple[tuple[int, int, float], ...]

    def apply_(self, model: nn.Module) -> None:
        """Changes the weight in place."""
        layer = model.get_submodule(self.reader)
        assert is_weighted(layer)
        weight = layer.weight.transpose(0, 1) if not isinstance(layer, _ConvTransposeNd) else layer.weight
        for source, target, factor in self.parts:
            weight[target] += factor * weight[source]


@dataclass(frozen=True)
class Cut:
    """Channels of one group that go, in all layers that share them.

    Attributes:
        root: name of the layer by which the group is known.
        outputs: name of a layer -> indices of its outputs.
        inputs: name of a layer -> indices of its inputs.
        parameters: name of a parameter outside the known layers -> (dimension, indices).
        folds: what makes up for them.
    """

    root: str
    outputs: Mapping[str, tuple[int, ...]]
    inputs: Mapping[str, tuple[int, ...]]
    parameters: Mapping[str, tuple[int, tuple[int, ...]]] = field(default_factory=dict)
    folds: tuple[Fold, ...] = ()


@torch.no_grad()
def apply_cuts_(model: nn.Module, cuts: Iterable[Cut]) -> None:
    """Takes the channels of all `cuts` out of `model`, in place; parameters keep names and `requires_grad`."""
    cuts = list(cuts)
    for cut in cuts:
        for fold in cut.folds:
            fold.apply_(model)
    outputs = _union(cut.outputs for cut in cuts)
    inputs = _union(cut.inputs for cut in cuts)
    for name in sorted(outputs.keys() | inputs.keys()):
        _cut_layer(model.get_submodule(name), outputs.get(name, set()), inputs.get(name, set()))
    for cut in cuts:
        for name, (dim, indices) in cut.parameters.items():
            path, _, attribute = name.rpartition(".")
            replace_tensor(model.get_submodule(path), attribute, _without(model.get_parameter(name), dim, indices))


def rest(size: int, gone: Collection[int]) -> list[int]:
    """What is left of range(size)."""
    return [index for index in range(size) if index not in gone]


def _union(parts: Iterable[Mapping[str, Sequence[int]]]) -> dict[str, set[int]]:
    union: dict[str, set[int]] = {}
    for part in parts:
        for name, indices in part.items():
            union.setdefault(name, set()).update(indices)
    return union


def _cut_layer(layer: nn.Module, outputs: set[int], inputs: set[int]) -> None:
    if is_weighted(layer) and not is_depthwise(layer):
        weight = _without_inputs(layer, layer.weight, inputs)
        transposed = isinstance(layer, _ConvTransposeNd)
        replace_tensor(layer, "weight", _without(weight, 1 if transposed else 0, outputs))
        if layer.bias is not None:
            replace_tensor(layer, "bias", _without(layer.bias, 0, outputs))
    elif isinstance(layer, nn.Embedding):
        replace_tensor(layer, "weight", _without(layer.weight, 1, outputs))
    else:  # one value, or one filter, for each channel
        for name, tensor in [*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False)]:
            if tensor.ndim and tensor.numel() > 1:
                replace_tensor(layer, name, _without(tensor, 0, outputs | inputs))
    fit_attributes(layer)
    if is_stateless_norm(layer):  # its size is in no tensor
        layer.num_features -= len(outputs | inputs)


def _without_inputs(layer: Weighted, weight: Tensor, inputs: set[int]) -> Tensor:
    """In a grouped convolution each group has inputs of its own, and loses as many as the others."""
    if isinstance(layer, _ConvTransposeNd):
        return _without(weight, 0, inputs)
    if not isinstance(layer, _ConvNd) or blocks(layer) == 1:
        return _without(weight, 1, inputs)
    width = weight.shape[1]
    own = [{index - start for index in inputs} for start in range(0, layer.in_channels, width)]
    return torch.cat([_without(part, 1, gone) for part, gone in zip(weight.chunk(layer.groups), own, strict=True)])


def _without(tensor: Tensor, dim: int, indices: Collection[int]) -> Tensor:
    left = torch.tensor(rest(tensor.shape[dim], indices), dtype=torch.long, device=tensor.device)
    return tensor.detach().index_select(dim, left)
