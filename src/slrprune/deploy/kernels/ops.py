"""The kernels as torch operators, `torch.ops.slrprune.sparse_linear` and `sparse_conv2d`.

Operators are what torch.compile and torch.export keep in their graphs. They are registered with or without a library,
so that an exported program loads everywhere and says at its first call what is missing. There is no gradient: the
packed weight is for inference.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

# A fake has the arguments of the operator it stands for, and the operator those that its fake needs: hence ARG001.
from slrprune.deploy.kernels.calls import call_conv2d, call_linear, output_size
from slrprune.deploy.kernels.checked import check_once


@torch.library.custom_op("slrprune::sparse_linear", mutates_args=(), device_types="cpu")
def sparse_linear(x: Tensor, packed: Tensor, out_features: int, relu: bool) -> Tensor:  # noqa: ARG001
    """`PackedLinear` as a function.

    Args:
        x: (..., in), float32.
        packed: what `pack_linear` made.
        out_features: its outputs, needed where tensors have shapes only.
        relu: whether negative outputs become zero.
    """
    return call_linear(x, check_once(packed), relu)


@sparse_linear.register_fake
def _(x: Tensor, packed: Tensor, out_features: int, relu: bool) -> Tensor:  # noqa: ARG001
    return x.new_empty((*x.shape[:-1], out_features))


@torch.library.custom_op("slrprune::sparse_conv2d", mutates_args=(), device_types="cpu")
def sparse_conv2d(
    x: Tensor,
    packed: Tensor,
    out_channels: int,  # noqa: ARG001
    kernel_size: Sequence[int],  # noqa: ARG001
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    relu: bool,
) -> Tensor:
    """`PackedConv2d` as a function.

    Args:
        x: (batch, in, height, width) or (in, height, width), float32.
        packed: what `pack_conv2d` made.
        out_channels: its outputs; this and `kernel_size` are needed where tensors have shapes only.
        kernel_size: (height, width), as are the next three.
        stride: at least 1.
        padding: zeros on each side, at least 0.
        dilation: at least 1.
        relu: whether negative outputs become zero.
    """
    return call_conv2d(x, check_once(packed), _pair(stride), _pair(padding), _pair(dilation), relu)


@sparse_conv2d.register_fake
def _(
    x: Tensor,
    packed: Tensor,  # noqa: ARG001
    out_channels: int,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    relu: bool,  # noqa: ARG001
) -> Tensor:
    size = x.shape[-2], x.shape[-1]
    geometry = _pair(kernel_size), _pair(stride), _pair(padding), _pair(dilation)
    return x.new_empty((*x.shape[:-3], out_channels, *output_size(size, *geometry)))


def _pair(values: Sequence[int]) -> tuple[int, int]:
    height, width = values
    return height, width
