"""Data for the tests of tasks: real CIFAR-10 where it lies, small made-up copies everywhere."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from slrprune.tasks import Labelled

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def cifar10_dir(data_dir: Path) -> Path:
    """A folder with the binary version of CIFAR-10, exported once into `.cache/cifar10`; skips without the data."""
    if not (data_dir / "load.py").is_file():
        pytest.skip(f"needs CIFAR-10: {data_dir} has no load.py to export it")
    folder = REPOSITORY / ".cache" / "cifar10"
    finished = folder / "cifar-10-batches-bin"
    if not (finished / "batches.meta.txt").is_file():
        partial = folder.with_name(f"cifar10.partial-{os.getpid()}")
        subprocess.run([sys.executable, data_dir / "load.py", "export-cifar10", partial], check=True)
        folder.mkdir(exist_ok=True)
        try:
            (partial / finished.name).rename(finished)
        except OSError:  # another test process was faster
            assert (finished / "batches.meta.txt").is_file()
        shutil.rmtree(partial)
    return folder


@pytest.fixture
def tiny_cifar10() -> dict[str, Labelled]:
    """Made-up data in the form of CIFAR-10: 60 training and 20 test images."""
    generator = np.random.default_rng(0)

    def examples(count):
        images = generator.integers(0, 256, (count, 3, 32, 32), np.uint8)
        return Labelled(torch.from_numpy(images), torch.arange(count) % 10)

    return {"train": examples(60), "test": examples(20)}
