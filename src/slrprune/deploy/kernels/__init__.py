"""Sparse CPU kernels: linear and convolution layers that skip the zeros of their weight."""

from slrprune.deploy.kernels.native import instruction_set, instruction_sets, is_available, why_unavailable
from slrprune.deploy.kernels.pack import pack_conv2d, pack_linear
from slrprune.deploy.kernels.packed import PackedConv2d, PackedLinear

__all__ = [
    "PackedConv2d",
    "PackedLinear",
    "instruction_set",
    "instruction_sets",
    "is_available",
    "pack_conv2d",
    "pack_linear",
    "why_unavailable",
]
