"""The sparse CPU kernels against dense torch in float64, by every instruction set that the machine has."""

import pytest
import torch
from torch import nn

from slrprune.deploy import kernels
from slrprune.sets import Unstructured

pytestmark = pytest.mark.usefixtures("instruction_set")


@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.9, 0.98])
@pytest.mark.parametrize("batch", [1, 3, 17, 130])
def test_linear(pattern, sparsity, batch, check_linear):
    weight = pattern(sparsity).project(torch.randn(36, 68))
    check_linear(weight, torch.randn(36), torch.randn(batch, 68), relu=True)


@pytest.mark.parametrize(("outputs", "inputs"), [(1, 1), (3, 2), (37, 31), (15, 33), (130, 501)])
@pytest.mark.parametrize("batch", [1, 20])
def test_linear_of_odd_sizes(outputs, inputs, batch, check_linear):
    # Not multiples of the lanes (4, 8, 16), of the lookup tables (31) or of the blocks.
    weight = Unstructured(0.7).project(torch.randn(outputs, inputs))
    check_linear(weight, None, torch.randn(batch, inputs))


@pytest.mark.parametrize(
    ("kernel", "geometry"),
    [
        (1, {}),
        (1, {"stride": 2}),
        (1, {"padding": 2}),
        (3, {"padding": 1}),
        (3, {"padding": 1, "stride": 2}),
        (3, {"padding": 2, "dilation": 2}),
        (3, {"stride": 3, "padding": 4}),
        (5, {"padding": 2}),
        (3, {"stride": (2, 1), "padding": (0, 3), "dilation": (1, 3)}),
    ],
)
@pytest.mark.parametrize("size", [(1, 9, 8), (2, 14, 14), (1, 30, 31)])
def test_conv2d(pattern, kernel, geometry, size, check_conv2d):
    batch, height, width = size
    weight = pattern(0.8).project(torch.randn(20, 12, kernel, kernel))
    check_conv2d(weight, torch.randn(20), torch.randn(batch, 12, height, width), relu=True, **geometry)


@pytest.mark.parametrize(
    ("out", "channels", "kernel"), [(1, 1, (3, 3)), (5, 3, (7, 7)), (6, 19, (1, 5)), (7, 2, (4, 2))]
)
def test_conv2d_of_odd_sizes(out, channels, kernel, check_conv2d):
    weight = Unstructured(0.6).project(torch.randn(out, channels, *kernel))
    check_conv2d(weight, None, torch.randn(2, channels, 13, 11), padding=(1, 2))


@pytest.mark.parametrize("rows", [8, 9])
@pytest.mark.parametrize("rows_per_group", [1, 4])
def test_pointwise_convolutions_that_write_their_output_at_once_and_others(rows, rows_per_group):
    # 5 x 13 positions end within a vector, and several tiles and images follow each other.
    weight, bias = Unstructured(0.5).project(torch.randn(rows, 6, 1, 1)), torch.randn(rows)
    x = torch.randn(3, 6, 5, 53)
    got = kernels.pack_conv2d(weight, bias, rows_per_group=rows_per_group)(x)
    torch.testing.assert_close(got, nn.functional.conv2d(x, weight, bias), rtol=1e-5, atol=1e-5)


def test_one_position_per_image(check_conv2d):
    weight = Unstructured(0.9).project(torch.randn(40, 70, 1, 1))
    check_conv2d(weight, torch.randn(40), torch.randn(9, 70, 1, 1))
    check_conv2d(weight, torch.randn(40), torch.randn(1, 70, 1, 1), padding=1)


@pytest.mark.parametrize("rows_per_group", [1, 4])
@pytest.mark.parametrize("batch", [1, 20])
def test_rows_without_weights_and_weights_without_nonzeros(rows_per_group, batch):
    bias, x = torch.randn(21), torch.randn(batch, 40)
    weight = torch.zeros(21, 40)
    packed = kernels.pack_linear(weight, bias, rows_per_group=rows_per_group)
    assert packed.nnz == 0
    assert torch.equal(packed(x), bias.expand(batch, -1))
    weight[2, 3], weight[20, 39] = 2.0, -1.0
    expected = bias.repeat(batch, 1)
    expected[:, 2] += 2 * x[:, 3]
    expected[:, 20] -= x[:, 39]
    torch.testing.assert_close(kernels.pack_linear(weight, bias, rows_per_group=rows_per_group)(x), expected)


@pytest.mark.parametrize("kernel", [1, 3])
def test_convolutions_without_nonzeros_give_the_bias(kernel):
    packed = kernels.pack_conv2d(torch.zeros(6, 5, kernel, kernel), torch.arange(6.0) - 2, padding=1, relu=True)
    y = packed(torch.randn(1, 5, 20, 20))
    assert torch.equal(y, (torch.arange(6.0) - 2).relu()[None, :, None, None].expand_as(y))


def test_one_dense_row_among_empty_ones(check_linear):
    weight = torch.zeros(50, 200)
    weight[17] = torch.randn(200)
    for batch in (1, 20):
        check_linear(weight, None, torch.randn(batch, 200))


@pytest.mark.parametrize("batch", [0, 1, 2, 17])
def test_batches(batch, check_linear, check_conv2d):
    check_linear(Unstructured(0.9).project(torch.randn(24, 48)), torch.randn(24), torch.randn(batch, 48))
    check_conv2d(Unstructured(0.9).project(torch.randn(8, 6, 3, 3)), torch.randn(8), torch.randn(batch, 6, 10, 9))


def test_inputs_of_one_and_of_many_dimensions():
    weight, bias = Unstructured(0.8).project(torch.randn(10, 30)), torch.randn(10)
    packed = kernels.pack_linear(weight, bias)
    for shape in ((30,), (2, 3, 30), (2, 1, 5, 30), (0, 4, 30)):
        x = torch.randn(shape)
        torch.testing.assert_close(packed(x), nn.functional.linear(x, weight, bias), rtol=1e-5, atol=1e-5)
    filters = Unstructured(0.8).project(torch.randn(4, 3, 3, 3))
    image = torch.randn(3, 12, 12)
    torch.testing.assert_close(kernels.pack_conv2d(filters)(image), nn.functional.conv2d(image, filters))


def test_inputs_in_other_layouts(check_linear, check_conv2d):
    weight = Unstructured(0.8).project(torch.randn(16, 24))
    check_linear(weight, None, torch.randn(24, 9).T)
    check_linear(weight, None, torch.randn(9, 48)[:, ::2])
    check_linear(weight, None, torch.randn(1, 24).expand(5, 24))
    filters = Unstructured(0.8).project(torch.randn(8, 6, 3, 3))
    check_conv2d(filters, None, torch.randn(2, 6, 12, 12).contiguous(memory_format=torch.channels_last), padding=1)
    check_conv2d(filters, None, torch.randn(2, 12, 12, 12)[:, ::2, :, 1:-1], padding=1)
    check_conv2d(filters.contiguous(memory_format=torch.channels_last), None, torch.randn(2, 6, 12, 12))


def test_an_input_at_an_odd_address(check_linear, check_conv2d):
    check_linear(Unstructured(0.8).project(torch.randn(16, 24)), None, torch.randn(24 * 20 + 1)[1:].view(20, 24))
    filters = Unstructured(0.8).project(torch.randn(8, 6, 3, 3))
    check_conv2d(filters, None, torch.randn(6 * 144 + 1)[1:].view(1, 6, 12, 12))


@pytest.mark.parametrize("packed_by", ["avx512", "avx2", "baseline"])
def test_weights_packed_under_another_instruction_set(packed_by, instruction_set):
    if packed_by not in kernels.instruction_sets():
        pytest.skip(f"this machine or library has no {packed_by}")
    weight, x = Unstructured(0.9).project(torch.randn(40, 133)), torch.randn(2, 133)
    kernels.native.use_instruction_set(packed_by)
    packed = kernels.pack_linear(weight)
    kernels.native.use_instruction_set(instruction_set)
    torch.testing.assert_close(packed(x), x @ weight.T, rtol=1e-5, atol=1e-5)


def test_nan_and_infinity_reach_only_outputs_that_use_them():
    weight = torch.tensor([[1.0, 0.0, 2.0], [0.0, 3.0, 0.0], [0.0, 0.0, 0.0]])
    for batch in (1, 20):
        x = torch.ones(batch, 3)
        x[0] = torch.tensor([float("nan"), float("inf"), -1.0])
        y = kernels.pack_linear(weight, relu=True)(x)[0]
        assert y[0].isnan()  # as torch.relu keeps it
        assert y[1] == float("inf")
        assert y[2] == 0


def test_several_threads(check_linear, check_conv2d):
    torch.set_num_threads(3)
    try:
        check_linear(Unstructured(0.5).project(torch.randn(300, 400)), torch.randn(300), torch.randn(150, 400))
        check_linear(Unstructured(0.5).project(torch.randn(999, 400)), torch.randn(999), torch.randn(1, 400))
        check_conv2d(Unstructured(0.5).project(torch.randn(64, 64, 3, 3)), None, torch.randn(1, 64, 40, 40), padding=1)
        check_conv2d(Unstructured(0.5).project(torch.randn(256, 64, 1, 1)), None, torch.randn(2, 64, 20, 21))
    finally:
        torch.set_num_threads(1)
