"""The sparse CPU kernels against dense torch in float64."""

from contextlib import suppress

import pytest
import torch
from torch import nn

from slrprune.deploy import kernels
from slrprune.deploy.kernels import build, native
from slrprune.sets import Block, Unstructured

if not build.LIBRARY.exists():  # an install does not build it yet; where there is a compiler, the tests do
    with suppress(build.BuildError):
        build.build()

needs_library = pytest.mark.skipif(not kernels.is_available(), reason=f"no sparse kernels: {kernels.why_unavailable()}")
SETS = {"unstructured": Unstructured, "4x1": lambda sparsity: Block((4, 1), sparsity)}


@needs_library
@pytest.mark.parametrize("kind", SETS)
@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.9, 0.98])
@pytest.mark.parametrize("batch", [1, 3, 16, 50])
def test_linear(kind, sparsity, batch):
    torch.manual_seed(0)
    layer = nn.Linear(68, 36)
    layer.weight.data = SETS[kind](sparsity).project(layer.weight)
    x = torch.randn(batch, 68)
    expected = torch.relu(nn.functional.linear(x.double(), layer.weight.double(), layer.bias.double())).float()
    got = kernels.pack_linear(layer.weight, layer.bias, relu=True)(x)
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


@needs_library
@pytest.mark.parametrize("kind", SETS)
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(1, 1, 0), (3, 1, 1), (3, 2, 1), (5, 1, 2), (3, 1, 0)])
@pytest.mark.parametrize("size", [(1, 9, 7), (2, 14, 14), (1, 28, 30)])
def test_conv2d(kind, kernel, stride, padding, size):
    torch.manual_seed(0)
    batch, height, width = size
    layer = nn.Conv2d(12, 20, kernel, stride, padding)
    layer.weight.data = SETS[kind](0.8).project(layer.weight)
    x = torch.randn(batch, 12, height, width)
    expected = layer.double()(x.double()).float()
    layer = layer.float()
    got = kernels.pack_conv2d(layer.weight, layer.bias, stride=stride, padding=padding)(x)
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


@needs_library
def test_every_instruction_set_agrees():
    torch.manual_seed(0)
    weight, x = Unstructured(0.9).project(torch.randn(40, 33)), torch.randn(5, 33)
    packed, first = kernels.pack_linear(weight, None), kernels.instruction_set()
    try:
        for name in kernels.instruction_sets():
            native.use_instruction_set(name)
            torch.testing.assert_close(packed(x), x @ weight.T, rtol=1e-5, atol=1e-5)
    finally:
        native.use_instruction_set(first)
