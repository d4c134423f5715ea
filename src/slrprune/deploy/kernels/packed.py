"""The packed layers, drop-in replacements for `nn.Linear` and `nn.Conv2d` at inference."""

from typing import Any

import torch
from torch import Tensor, nn

from slrprune.deploy.kernels import blob
from slrprune.deploy.kernels.calls import call_conv2d, call_linear
from slrprune.deploy.kernels.checked import CheckedWeight, check_once
from slrprune.deploy.kernels.ops import sparse_conv2d, sparse_linear


class _Packed(nn.Module):
    """A layer whose only state is its packed weight, the uint8 buffer `packed`."""

    packed: Tensor

    def __init__(self, packed: Tensor, relu: bool) -> None:
        super().__init__()
        self.register_buffer("packed", packed)
        self.relu = relu
        self._known: tuple[Tensor, CheckedWeight] | None = None

    @property
    def nnz(self) -> int:
        """Weights that are stored, with the zeros that fill 4x1 blocks."""
        header = blob.read_header(self.packed)
        return header["entries"] * header["rows_per_group"]

    @property
    def rows_per_group(self) -> int:
        """Consecutive outputs that share each position: 1, or 4 for 4x1 blocks."""
        return blob.read_header(self.packed)["rows_per_group"]

    def _checked(self) -> CheckedWeight:
        packed = self._buffers["packed"]
        assert packed is not None
        if packed.is_inference():
            return check_once(packed)
        known = self._known
        if known is None or known[0] is not packed or not known[1].is_of(packed):
            known = self._known = (packed, check_once(packed))
        return known[1]

    def __getstate__(self) -> dict[str, Any]:
        # What is known holds an address, which means nothing in a copy or in another process.
        return self.__dict__ | {"_known": None}


class PackedLinear(_Packed):
    """`relu?(x W^T + b)` for a W that is mostly zeros; made by `pack_linear`.

    Args:
        packed: the packed weight and bias, uint8.
        in_features: inputs.
        out_features: outputs.
        relu: whether negative outputs become zero.
    """

    def __init__(self, packed: Tensor, in_features: int, out_features: int, relu: bool) -> None:
        super().__init__(packed, relu)
        self.in_features, self.out_features = in_features, out_features

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_features) to (..., out_features), float32 on the CPU."""
        if torch.compiler.is_compiling() or not _can_call_directly(x):
            watched: Tensor = sparse_linear(x, self.packed, self.out_features, self.relu)
            return watched
        return call_linear(x, self._checked(), self.relu)

    def extra_repr(self) -> str:
        """For `print(model)`."""
        return f"{self.in_features}, {self.out_features}, relu={self.relu}"


class PackedConv2d(_Packed):
    """`relu?(conv2d(x, W) + b)` for a W that is mostly zeros; made by `pack_conv2d`.

    Args:
        packed: the packed weight and bias, uint8.
        in_channels: inputs.
        out_channels: outputs.
        kernel_size: (height, width), as are the next three.
        stride: at least 1.
        padding: zeros on each side.
        dilation: at least 1.
        relu: whether negative outputs become zero.
    """

    def __init__(
        self,
        packed: Tensor,
        in_channels: int,
        out_channels: int,
        kernel_size: tuple[int, int],
        stride: tuple[int, int],
        padding: tuple[int, int],
        dilation: tuple[int, int],
        relu: bool,
    ) -> None:
        super().__init__(packed, relu)
        self.in_channels, self.out_channels, self.kernel_size = in_channels, out_channels, kernel_size
        self.stride, self.padding, self.dilation = stride, padding, dilation

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in, height, width) to (batch, out, height', width'), or both without batch; float32 on the CPU."""
        if torch.compiler.is_compiling() or not _can_call_directly(x):
            geometry = list(self.kernel_size), list(self.stride), list(self.padding), list(self.dilation)
            watched: Tensor = sparse_conv2d(x, self.packed, self.out_channels, *geometry, self.relu)
            return watched
        return call_conv2d(x, self._checked(), self.stride, self.padding, self.dilation, self.relu)

    def extra_repr(self) -> str:
        """For `print(model)`."""
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"padding={self.padding}, dilation={self.dilation}, relu={self.relu}"
        )


def _can_call_directly(x: Tensor) -> bool:
    """Whether nobody watches: then the library is called without torch's dispatcher, which takes some 20 us.

    A tensor that needs a gradient, a subclass, a tracer, or any mode that sees operators must meet the operator.
    """
    return (
        type(x) is Tensor
        and not x.is_meta
        and not (x.requires_grad and torch.is_grad_enabled())
        and torch._C._len_torch_dispatch_stack() == 0
        and not torch._C._is_tracing()
    )
