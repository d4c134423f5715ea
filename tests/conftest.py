"""What all tests share: one thread, fixed seeds, where the real data lies, tests that need a GPU."""

import os
import random
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import torch

REPOSITORY = Path(__file__).resolve().parents[1]

# No deadline, since no test may depend on the clock; derandomized, so that a failure in CI is a failure at home.
hypothesis.settings.register_profile("slrprune", deadline=None, derandomize=True)
hypothesis.settings.load_profile("slrprune")


def pytest_configure() -> None:
    """One thread: the tests run in several processes, and results must not depend on the number of cores."""
    torch.set_num_threads(1)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test marked `gpu` skips itself where there is none."""
    if item.get_closest_marker("gpu") is not None and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device, and torch finds none here")


@pytest.fixture(autouse=True)
def _seeds() -> None:
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002  (for code that draws from numpy's global generator)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data: SLRPRUNE_DATA, or ../shared/data beside the repository; skips where there is none."""
    folder = Path(os.environ.get("SLRPRUNE_DATA") or REPOSITORY.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"needs real data: {folder} is not a folder, and SLRPRUNE_DATA names no other")
    return folder
