"""The compiled kernels, for each instruction set of this machine."""

from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
import torch
from torch import Tensor, nn

from slrprune.deploy import kernels
from slrprune.deploy.kernels import build, native
from slrprune.sets import Block, Unstructured

if not build.is_current():  # an editable install built it, perhaps from older sources; without a compiler tests skip
    with suppress(build.BuildError):
        build.build()

PATTERNS: dict[str, Callable[[float], Unstructured | Block]] = {
    "unstructured": Unstructured,
    "4x1": lambda sparsity: Block((4, 1), sparsity),
}


@pytest.fixture
def _library() -> None:
    if not kernels.is_available():
        pytest.skip(f"no sparse kernels: {kernels.why_unavailable()}")


@pytest.fixture(params=["avx512", "avx2", "baseline"])
def instruction_set(request: pytest.FixtureRequest, _library: None) -> Iterator[str]:
    """Each in turn is the one in use."""
    if request.param not in kernels.instruction_sets():
        pytest.skip(f"this machine or library has no {request.param}")
    before = kernels.instruction_set()
    native.use_instruction_set(request.param)
    yield request.param
    native.use_instruction_set(before)


@pytest.fixture(params=PATTERNS)
def pattern(request: pytest.FixtureRequest) -> Callable[[float], Unstructured | Block]:
    """From a sparsity to a set: single weights, and 4x1 blocks."""
    return PATTERNS[request.param]


@pytest.fixture
def check_linear() -> Callable[..., None]:
    """Compares a packed linear layer with dense torch in float64."""

    def check(weight: Tensor, bias: Tensor | None, x: Tensor, **options: bool) -> None:
        expected = nn.functional.linear(x.double(), weight.double(), None if bias is None else bias.double())
        got = kernels.pack_linear(weight, bias, **options)(x)
        assert_close(got, torch.relu(expected) if options.get("relu") else expected)

    return check


@pytest.fixture
def check_conv2d() -> Callable[..., None]:
    """Compares a packed convolution with dense torch in float64."""

    def check(weight: Tensor, bias: Tensor | None, x: Tensor, relu: bool = False, **geometry: int) -> None:
        wide = None if bias is None else bias.double()
        expected = nn.functional.conv2d(x.double(), weight.double(), wide, **geometry)
        got = kernels.pack_conv2d(weight, bias, relu=relu, **geometry)(x)
        assert_close(got, torch.relu(expected) if relu else expected)

    return check


def assert_close(got: Tensor, expected: Tensor) -> None:
    """Within the rounding of some hundred float32 additions."""
    assert got.dtype is torch.float32
    torch.testing.assert_close(got, expected.float(), rtol=1e-5, atol=2e-5)
