"""Timing that survives a busy machine: rounds in which every candidate runs once, medians, ratios within one run."""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch


def interleaved(candidates: Mapping[str, Callable[[], object]], rounds: int = 9, warmup: int = 1) -> dict[str, float]:
    """Median time in milliseconds of each candidate.

    The candidates take turns, so that a slow phase of the machine hits all of them and ratios stay fair.

    Args:
        candidates: name to a call without arguments.
        rounds: measured rounds, an odd number.
        warmup: rounds before, which are not counted.
    """
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in range(warmup + rounds):
        for name, call in candidates.items():
            start = time.perf_counter()
            call()
            elapsed = time.perf_counter() - start
            if turn >= warmup:
                times[name].append(1e3 * elapsed)
    return {name: round(statistics.median(values), 3) for name, values in times.items()}


def at_threads(counts: tuple[int, ...], measure: Callable[[], dict[str, object]]) -> dict[str, object]:
    """What `measure` finds at each number of threads, by that number."""
    before = torch.get_num_threads()
    found: dict[str, object] = {}
    for count in counts:
        torch.set_num_threads(count)
        found[str(count)] = measure()
    torch.set_num_threads(before)
    return found


def machine() -> dict[str, object]:
    """What the numbers depend on, the load of the machine included."""
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "load_average_1min": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }


def write(result: Mapping[str, object], path: Path | None) -> None:
    """Prints `result` as JSON, and writes it to `path` where one is given."""
    text = json.dumps(result, indent=2)
    print(text)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
