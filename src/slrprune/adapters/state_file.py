"""The pruner's state as a file beside an engine's checkpoint: tensors and plain values, never executable code."""

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from slrprune.atomic import write_atomically
from slrprune.errors import StateError

NAME = "slrprune.pt"


def write_state(folder: Path, state: Mapping[str, Any]) -> None:
    """Writes `state` into `folder` as a whole or not at all."""
    write_atomically(folder / NAME, lambda path: torch.save(dict(state), path))


def read_state(folder: Path) -> dict[str, Any]:
    """The state in `folder`, on the CPU; raises `StateError` where there is none, or a damaged one."""
    path = folder / NAME
    if not path.is_file():
        way_out = "Resume from a checkpoint that was saved while pruning, or load the state of the folder meant."
        raise StateError(str(folder), f"there is no {NAME} beside the checkpoint", way_out)
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, UnpicklingError, EOFError, OSError) as error:
        raise StateError(str(path), "the file is damaged", "Resume from the checkpoint before it.") from error
    return state
