"""`environment.json`: where and with what a run was made."""

import subprocess
import sys
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from slrprune.machine import describe_machine

_PACKAGES = ("slrprune", "torch", "numpy", "safetensors", "accelerate", "pydantic", "timm", "transformers")


def describe_environment(device: torch.device, command: str, processes: int) -> dict[str, Any]:
    """Command line, versions, machine, commit of the working folder, time in UTC."""
    return {
        "command": command,
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "folder": str(Path.cwd()),
        "commit": _commit(),
        "processes": processes,
        "machine": describe_machine(device),
        "python": sys.version.split()[0],
        "versions": {name: found for name in _PACKAGES if (found := _version(name)) is not None},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of the folder that one works in, marked where there are changes; None without git."""
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],  # noqa: S607
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None
