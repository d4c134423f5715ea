"""From a weight with zeros in it to a packed layer."""

import torch
from torch import Tensor

from slrprune.deploy.kernels import blob, native
from slrprune.deploy.kernels.calls import output_size
from slrprune.deploy.kernels.checked import check_once
from slrprune.deploy.kernels.lookup_layout import pack_lookup
from slrprune.deploy.kernels.packed import PackedConv2d, PackedLinear
from slrprune.deploy.kernels.panel_layout import Reach, choose_rows_per_group, pack_panel
from slrprune.errors import ArgumentError, ShapeError, UsageError

_LINEAR_BATCH = 64  # that the block of inputs is chosen for; any batch runs
_INPUT_SIZE = (28, 28)  # likewise, where the caller does not say
_MOST_TAPS = 65536
_LARGEST_DIMENSION = 2**30

Pair = int | tuple[int, int]


def pack_linear(
    weight: Tensor, bias: Tensor | None = None, *, relu: bool = False, rows_per_group: int | None = None
) -> PackedLinear:
    """Pack the weight of a linear layer.

    Zeros of `weight` are left out: they never meet an input, so that 0 * inf is not formed as dense kernels do. In
    4x1 blocks a zero counts as such where all four are.

    Args:
        weight: (out, in), float32, on the CPU.
        bias: (out,) or None.
        relu: whether negative outputs become zero; NaN stays NaN.
        rows_per_group: 4 packs 4x1 blocks (four consecutive outputs share each position), 1 single weights; None takes
            4 where at least three quarters of such blocks would be nonzeros.

    Raises:
        ArgumentError: rows_per_group is neither.
        ShapeError: weight or bias of another shape.
        UsageError: another dtype or device, or the kernels are not available.
    """
    _check_weight("pack_linear", weight, bias, 2)
    with torch.inference_mode(False), torch.no_grad():  # an inference tensor would be checked at every call
        weight = weight.detach().clone()
        rows = _rows_per_group("pack_linear", weight, rows_per_group)
        numbers, arrays = pack_panel(weight[:, :, None, None], bias, rows, Reach(_LINEAR_BATCH))
        lookup_numbers, lookup_arrays = pack_lookup(weight, bias, bool(native.library().slrk_expands()))
        packed = blob.write(numbers | lookup_numbers, arrays | lookup_arrays)
    check_once(packed)
    return PackedLinear(packed, weight.shape[1], weight.shape[0], relu)


def pack_conv2d(
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    relu: bool = False,
    input_size: tuple[int, int] | None = None,
    rows_per_group: int | None = None,
) -> PackedConv2d:
    """Pack the weight of a convolution with one group and zero padding.

    Zeros of `weight` are left out: they never meet an input, so that 0 * inf is not formed as dense kernels do. In
    4x1 blocks a zero counts as such where all four are.

    Args:
        weight: (out, in, kernel height, kernel width), float32, on the CPU.
        bias: (out,) or None.
        stride: one number for both directions, or (vertical, horizontal), as padding and dilation; at least 1.
        padding: zeros on each side, at least 0.
        dilation: distance of the kernel's taps, at least 1.
        relu: whether negative outputs become zero; NaN stays NaN.
        input_size: (height, width) that the layout is best for; any size runs.
        rows_per_group: as in `pack_linear`; blocks lie over four consecutive output channels.

    Raises:
        ArgumentError: rows_per_group, stride, padding or dilation outside its range.
        ShapeError: weight or bias of another shape.
        UsageError: another dtype or device, or the kernels are not available.
    """
    _check_weight("pack_conv2d", weight, bias, 4)
    strides, paddings = _pair("pack_conv2d", "stride", stride, 1), _pair("pack_conv2d", "padding", padding, 0)
    dilations = _pair("pack_conv2d", "dilation", dilation, 1)
    out_channels, in_channels, *kernel = weight.shape
    kernel_size = kernel[0], kernel[1]
    if kernel[0] * kernel[1] > _MOST_TAPS:
        raise ShapeError("pack_conv2d", f"needs a kernel of at most {_MOST_TAPS} taps", weight.shape)
    with torch.inference_mode(False), torch.no_grad():
        weight = weight.detach().clone()
        rows = _rows_per_group("pack_conv2d", weight, rows_per_group)
        reach = _conv_reach(input_size or _INPUT_SIZE, kernel_size, strides, paddings, dilations)
        packed = blob.write(*pack_panel(weight, bias, rows, reach))
    check_once(packed)
    return PackedConv2d(packed, in_channels, out_channels, kernel_size, strides, paddings, dilations, relu)


def _conv_reach(
    size: tuple[int, int],
    kernel_size: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
) -> Reach:
    height, width = (max(1, n) for n in output_size(size, kernel_size, stride, padding, dilation))
    down, right = ((k - 1) * d // s for k, d, s in zip(kernel_size, dilation, stride, strict=True))
    pitch = width + right
    phases_down, phases_right = (
        len({k * d % s for k in range(taps)}) for taps, d, s in zip(kernel_size, dilation, stride, strict=True)
    )
    return Reach((height - 1) * pitch + width, down * pitch + right, phases_down * phases_right, right == 0)


def _check_weight(where: str, weight: Tensor, bias: Tensor | None, dims: int) -> None:
    for name, tensor in (("weight", weight), ("bias", bias)):
        if tensor is not None and (tensor.dtype is not torch.float32 or tensor.device.type != "cpu"):
            problem = f"needs a float32 {name} on the CPU, got {tensor.dtype} on {tensor.device}"
            raise UsageError(where, problem, f"Convert it with {name}.float().cpu().")
    if weight.dim() != dims or min(weight.shape) < 1 or max(weight.shape) > _LARGEST_DIMENSION:
        raise ShapeError(where, f"needs a weight of {dims} dimensions, none of them empty", weight.shape)
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ShapeError(where, f"needs a bias of shape ({weight.shape[0]},)", bias.shape)


def _rows_per_group(where: str, weight: Tensor, wanted: int | None) -> int:
    if wanted is None:
        return choose_rows_per_group(weight)
    if wanted not in (1, 4):
        raise ArgumentError(where, "rows_per_group", wanted, "must be 1 or 4")
    return wanted


def _pair(where: str, name: str, value: Pair, least: int) -> tuple[int, int]:
    pair = (value, value) if isinstance(value, int) else tuple(value)
    if len(pair) != 2 or not all(isinstance(n, int) and least <= n < 2**31 for n in pair):
        raise ArgumentError(where, name, value, f"must be one or two integers of at least {least}")
    return pair[0], pair[1]
