"""What a run was made on."""

import os
import platform
from pathlib import Path

import torch


def describe_machine(device: torch.device) -> dict[str, str | int]:
    """Processor, cores, device and versions, as far as they can be told."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count() or 0,
        "capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def _cpu_model() -> str:
    """The processor's name where Linux tells it, elsewhere its architecture."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
