"""What packing and packed layers refuse: where, the rule, what was received, the way out."""

import pytest
import torch

from slrprune.deploy import kernels
from slrprune.errors import ArgumentError, ShapeError, UsageError

pytestmark = pytest.mark.usefixtures("_library")
WEIGHT, FILTERS = torch.ones(4, 6), torch.ones(4, 6, 3, 3)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (
            lambda: kernels.pack_linear(WEIGHT.double()),
            UsageError,
            r"float32 weight on the CPU, got torch.float64 on cpu",
        ),
        (lambda: kernels.pack_linear(WEIGHT.bfloat16()), UsageError, r"Convert it with weight.float\(\).cpu\(\)"),
        (lambda: kernels.pack_linear(WEIGHT.to("meta")), UsageError, r"got torch.float32 on meta"),
        (lambda: kernels.pack_linear(WEIGHT, torch.ones(4).half()), UsageError, r"needs a float32 bias on the CPU"),
        (
            lambda: kernels.pack_linear(FILTERS),
            ShapeError,
            r"weight of 2 dimensions, none of them empty, got shape \(4, 6",
        ),
        (lambda: kernels.pack_linear(torch.ones(0, 6)), ShapeError, r"none of them empty, got shape \(0, 6\)"),
        (
            lambda: kernels.pack_linear(WEIGHT, torch.ones(6)),
            ShapeError,
            r"needs a bias of shape \(4,\), got shape \(6,\)",
        ),
        (
            lambda: kernels.pack_linear(WEIGHT, rows_per_group=2),
            ArgumentError,
            r"pack_linear\(rows_per_group=2\): rows_per_group must be 1 or 4",
        ),
        (
            lambda: kernels.pack_conv2d(FILTERS, stride=0),
            ArgumentError,
            r"pack_conv2d\(stride=0\): stride must be one or two integers of at least 1",
        ),
        (
            lambda: kernels.pack_conv2d(FILTERS, padding=(1, -1)),
            ArgumentError,
            r"pack_conv2d\(padding=\(1, -1\)\): padding must be one or two integers of at least 0",
        ),
        (
            lambda: kernels.pack_conv2d(FILTERS, dilation=(1, 1, 1)),
            ArgumentError,
            r"dilation must be one or two integers",
        ),
        (
            lambda: kernels.pack_conv2d(torch.zeros(1, 1, 300, 300)),
            ShapeError,
            r"pack_conv2d: needs a kernel of at most 65536 taps, got shape \(1, 1, 300, 300\)",
        ),
    ],
)
def test_packing(call, error, match):
    with pytest.raises(error, match=match):
        call()


@pytest.mark.parametrize(
    ("x", "error", "match"),
    [
        (
            torch.ones(2, 6).double(),
            UsageError,
            r"PackedLinear: needs a float32 input on the CPU, got torch.float64 on cpu",
        ),
        (torch.ones(2, 7), ShapeError, r"PackedLinear: needs an input of shape \(..., 6\), got shape \(2, 7\)"),
        (torch.ones(()), ShapeError, r"needs an input of shape \(..., 6\), got shape \(\)"),
    ],
)
def test_linear_inputs(x, error, match):
    with pytest.raises(error, match=match):
        kernels.pack_linear(WEIGHT)(x)


@pytest.mark.parametrize(
    ("x", "error", "match"),
    [
        (
            torch.ones(2, 6, 5, 5).bfloat16(),
            UsageError,
            r"needs a float32 input on the CPU, got torch.bfloat16.*x.to\(\)",
        ),
        (torch.ones(2, 5, 5, 5), ShapeError, r"input of shape \(batch, 6, height, width\), got shape \(2, 5, 5, 5\)"),
        (torch.ones(6, 5), ShapeError, r"input of shape \(batch, 6, height, width\), got shape \(6, 5\)"),
        (torch.ones(1, 6, 2, 9), ShapeError, r"at least as large as its kernel \(3, 3\), dilation \(1, 1\), got shape"),
    ],
)
def test_convolution_inputs(x, error, match):
    with pytest.raises(error, match=match):
        kernels.pack_conv2d(FILTERS)(x)


def test_operators_check_their_own_arguments():
    linear, conv = kernels.pack_linear(WEIGHT), kernels.pack_conv2d(FILTERS)
    x = torch.ones(1, 6, 5, 5)
    with pytest.raises(ArgumentError, match=r"sparse_conv2d.*must hold a stride and a dilation of at least 1"):
        torch.ops.slrprune.sparse_conv2d(x, conv.packed, 4, [3, 3], [0, 1], [0, 0], [1, 1], False)
    with pytest.raises(ArgumentError, match=r"sparse_linear.*must be packed by pack_linear"):
        torch.ops.slrprune.sparse_linear(torch.ones(1, 6), conv.packed, 4, False)
    assert torch.equal(
        torch.ops.slrprune.sparse_linear(torch.ones(1, 6), linear.packed, 4, False), torch.full((1, 4), 6.0)
    )
