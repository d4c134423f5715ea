"""A timer that invents times, so that what plan says does not depend on the machine."""

import pytest

from slrprune.deploy import kernels


class InventedTimes:
    """Every function is called once; seconds by name, 1 where nothing is said."""

    def __init__(self, **seconds):
        self.seconds = seconds

    def __call__(self, what, functions):
        for function in functions.values():
            function()
        return {name: [self.seconds.get(name, 1.0)] for name in functions}


@pytest.fixture
def invented():
    """The sparse kernel takes a quarter of the time, the whole model half, a shrunk one a third."""
    times = {"sparse kernel": 0.25, "accelerated, contiguous": 0.5, "shrunk": 1 / 3}
    return lambda **seconds: InventedTimes(**{**times, **seconds})


@pytest.fixture
def needs_kernels() -> None:
    """Skips where the sparse kernels are not built."""
    if not kernels.is_available():
        pytest.skip(f"needs the sparse kernels: {kernels.why_unavailable()}")
