"""A stretch of code with its own random numbers."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seeds torch's global RNG, on the CPU and on `device`, and puts it back afterwards.

    Args:
        seed: at least 0.
        device: where the random numbers are drawn besides the CPU.
    """
    devices = [] if device.type == "cpu" else [device]
    with torch.random.fork_rng(devices, device_type=device.type if devices else None):
        torch.manual_seed(seed)
        yield
