"""Random numbers of a run: drawn from its own seed, saved with it, and nobody else's business."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
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


@contextmanager
def seeded_everywhere(seed: int) -> Iterator[None]:
    """Seeds the global generators of Python and NumPy, which a task of the user's may read, and puts them back."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002  (the global one is what is meant)
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


def mixed(*numbers: int) -> int:
    """One seed from several numbers, so that neighbours get unrelated streams; in [0, 2^32)."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def random_state(device: torch.device) -> dict[str, Any]:
    """The states of all generators: torch on the CPU and on `device`, Python, NumPy; plain values and tensors."""
    kind, keys, position, has_gauss, gauss = np.random.get_state()  # noqa: NPY002
    state: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "python": random.getstate(),
        "numpy": (kind, torch.from_numpy(np.array(keys).astype(np.int64)), position, has_gauss, gauss),
    }
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def restore_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Puts the generators where `random_state` found them."""
    torch.set_rng_state(state["torch"])
    random.setstate(state["python"])
    kind, keys, position, has_gauss, gauss = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, gauss))  # noqa: NPY002
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
