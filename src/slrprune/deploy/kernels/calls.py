"""The calls into the library: every size is checked here, in Python, before a pointer is passed on."""

import torch
from torch import Tensor

from slrprune.deploy.kernels import native
from slrprune.deploy.kernels.checked import CheckedWeight
from slrprune.errors import ArgumentError, ShapeError, UsageError

_LARGEST = 2**31 - 1  # entries of one padded image, so that offsets and products of sizes fit


def output_size(
    size: tuple[int, int],
    kernel_size: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
) -> tuple[int, int]:
    """Height and width of a convolution's output, as in `torch.nn.Conv2d`; may be symbolic, and not positive."""
    height, width = (
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(size, kernel_size, stride, padding, dilation, strict=True)
    )
    return height, width


def call_linear(x: Tensor, weight: CheckedWeight, relu: bool) -> Tensor:
    """`torch.nn.functional.linear`, then ReLU if asked, through the library.

    Raises:
        UsageError: x is not float32 on the CPU, or memory is short.
        ShapeError: its last dimension is not the weight's inputs.
    """
    if x.dtype is not torch.float32 or not x.is_cpu:
        raise _wrong_kind("PackedLinear", x)
    shape = x.shape
    if not shape or shape[-1] != weight.channels:
        raise ShapeError("PackedLinear", f"needs an input of shape (..., {weight.channels})", shape)
    if weight.kernel_size != (1, 1):
        raise ArgumentError("sparse_linear", "packed", weight.kernel_size, "must be packed by pack_linear")
    if not x.is_contiguous():
        x = x.contiguous()
    if len(shape) == 2:  # the usual case, without a slice of the shape: microseconds count at batch 1
        batch = shape[0]
        y = x.new_empty(batch, weight.rows)
    else:
        batch = x.numel() // weight.channels
        y = x.new_empty((*shape[:-1], weight.rows))
    call = native.library().slrk_linear
    if batch and call(weight.pointer, x.data_ptr(), y.data_ptr(), batch, relu, torch.get_num_threads()):
        raise _no_memory("PackedLinear")
    return y


def call_conv2d(
    x: Tensor,
    weight: CheckedWeight,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    relu: bool,
) -> Tensor:
    """`torch.nn.functional.conv2d` with one group, then ReLU if asked, through the library.

    Args:
        x: (batch, in, height, width) or (in, height, width).
        weight: the packed weight.
        stride: at least 1 each, in pixels, as are padding (at least 0) and dilation (at least 1).
        padding: zeros on each side.
        dilation: distance of the kernel's taps.
        relu: whether negative outputs become zero.

    Raises:
        UsageError: x is not float32 on the CPU, or memory is short.
        ShapeError: its channels are not the weight's inputs, or it is smaller than the kernel, or far too large.
    """
    if x.dtype is not torch.float32 or not x.is_cpu:
        raise _wrong_kind("PackedConv2d", x)
    if x.dim() == 3:
        return call_conv2d(x.unsqueeze(0), weight, stride, padding, dilation, relu).squeeze(0)
    if x.dim() != 4 or x.shape[1] != weight.channels:
        raise ShapeError("PackedConv2d", f"needs an input of shape (batch, {weight.channels}, height, width)", x.shape)
    if min(*stride, *dilation) < 1 or min(padding) < 0:
        rule = "must hold a stride and a dilation of at least 1, and a padding of at least 0"
        raise ArgumentError("sparse_conv2d", "geometry", (stride, padding, dilation), rule)
    images, _, height, width = x.shape
    out_height, out_width = output_size((height, width), weight.kernel_size, stride, padding, dilation)
    if out_height < 1 or out_width < 1:
        rule = f"needs a padded input at least as large as its kernel {weight.kernel_size}, dilation {dilation}"
        raise ShapeError("PackedConv2d", rule, x.shape)
    if (height + 2 * padding[0]) * (width + 2 * padding[1]) > _LARGEST or max(*stride, *dilation) > _LARGEST:
        raise ShapeError("PackedConv2d", f"needs a padded image of at most {_LARGEST} pixels", x.shape)
    x = x.contiguous()
    y = x.new_empty((images, weight.rows, out_height, out_width))
    if images:
        call = native.library().slrk_conv2d
        pointers = weight.pointer, x.data_ptr(), y.data_ptr()
        sizes = images, height, width, *stride, *padding, *dilation
        if call(*pointers, *sizes, relu, torch.get_num_threads()):
            raise _no_memory("PackedConv2d")
    return y


def _wrong_kind(where: str, x: Tensor) -> UsageError:
    return UsageError(
        where, f"needs a float32 input on the CPU, got {x.dtype} on {x.device}", "Convert it with x.to()."
    )


def _no_memory(where: str) -> UsageError:
    return UsageError(where, "there is no memory left for the kernel's buffers")
