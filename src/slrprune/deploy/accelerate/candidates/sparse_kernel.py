"""Our sparse CPU kernels, for single weights and for 4x1 blocks."""

from typing import ClassVar

import torch
from torch import nn

from slrprune.deploy import kernels
from slrprune.deploy.accelerate.candidates.base import Candidate
from slrprune.deploy.accelerate.layer import Layer

_LEAST_SPARSITY = 0.4
"""Below it the kernels are not tried: a nonzero takes them longer than a weight takes dense code."""
_MOST_FILL = 2.0
"""4x1 blocks are not tried where filling them up more than doubles the weights."""


class SparseKernel(Candidate):
    """Each nonzero weight with its position."""

    name = "sparse kernel"
    rows_per_group: ClassVar[int] = 1

    def obstacle(self, layer: Layer) -> str:
        """What the kernels do not take: another device or dtype, groups, padding other than zeros; few zeros."""
        weight = layer.module.weight
        if weight.device.type != "cpu" or weight.dtype is not torch.float32:
            return f"the sparse kernels take float32 on the CPU, the layer is in {weight.dtype} on {weight.device}"
        if not kernels.is_available():
            return "the sparse kernels are not available"
        if layer.sparsity < _LEAST_SPARSITY:
            return f"{layer.sparsity:.0%} zeros: below {_LEAST_SPARSITY:.0%} skipping them is not worth it"
        return "" if isinstance(layer.module, nn.Linear) else _conv_obstacle(layer.module)

    def build(self, layer: Layer) -> nn.Module:
        """The packed layer; it takes images in any layout, and returns contiguous ones."""
        if self.name not in layer.kept:  # packing takes longer than measuring
            layer.kept[self.name] = self._packed(layer)
        return layer.kept[self.name]

    def _packed(self, layer: Layer) -> nn.Module:
        module = layer.module
        if isinstance(module, nn.Linear):
            return kernels.pack_linear(module.weight, module.bias, relu=layer.relu, rows_per_group=self.rows_per_group)
        sizes = [call.shape[-2:] for call in layer.calls]
        return kernels.pack_conv2d(
            module.weight,
            module.bias,
            stride=_pair(module.stride),
            padding=_padding(module),
            dilation=_pair(module.dilation),
            relu=layer.relu,
            input_size=(sizes[0][0], sizes[0][1]) if sizes else None,
            rows_per_group=self.rows_per_group,
        )


class BlockKernel(SparseKernel):
    """Blocks of four consecutive outputs that share their position."""

    name = "sparse kernel, 4x1 blocks"
    rows_per_group = 4

    def obstacle(self, layer: Layer) -> str:
        """As for single weights; and zeros that do not come in such blocks."""
        return super().obstacle(layer) or _block_obstacle(layer)


def _block_obstacle(layer: Layer) -> str:
    weight = layer.module.weight
    if weight.shape[0] < 4:
        return "fewer than 4 outputs"
    blocks = (weight[: weight.shape[0] // 4 * 4] != 0).unflatten(0, (-1, 4))
    nonzeros = int(blocks.count_nonzero())
    fill = 4 * int(blocks.any(1).count_nonzero()) / nonzeros if nonzeros else 1.0
    return (
        "" if fill <= _MOST_FILL else f"its zeros do not come in 4x1 blocks (filled up, {fill:.1f} times the weights)"
    )


def _conv_obstacle(module: nn.Conv2d) -> str:
    if module.groups != 1:
        return f"the sparse kernels take one group, the convolution has {module.groups}"
    if module.padding_mode != "zeros":
        return f"the sparse kernels pad with zeros, the convolution with {module.padding_mode!r}"
    if module.padding == "same" and any(total % 2 for total in _same(module)):
        return "it pads one side more than the other"
    return ""


def _padding(module: nn.Conv2d) -> tuple[int, int]:
    if isinstance(module.padding, str):
        height, width = _same(module) if module.padding == "same" else (0, 0)
        return height // 2, width // 2
    return _pair(module.padding)


def _same(module: nn.Conv2d) -> tuple[int, int]:
    """Zeros that padding='same' adds in all, per direction."""
    (down, right), (height, width) = _pair(module.dilation), _pair(module.kernel_size)
    return down * (height - 1), right * (width - 1)


def _pair(values: tuple[int, ...]) -> tuple[int, int]:
    return values[0], values[1]
