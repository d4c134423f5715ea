"""The folder of a run: names, and files that are there completely or not at all."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save_model
from torch import nn

from slrprune.atomic import write_atomically
from slrprune.errors import DataError, UsageError


@dataclass(frozen=True)
class RunFolder:
    """Where everything of one run lies.

    Attributes:
        path: the folder.
    """

    path: Path

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    @property
    def config(self) -> Path:
        """The resolved configuration."""
        return self.path / "config.yaml"

    @property
    def summary(self) -> Path:
        """The headline, written last."""
        return self.path / "summary.json"

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def dense(self) -> Path:
        """The dense weights that the run started from, with their figures in the header."""
        return self.path / "dense.safetensors"

    @property
    def after_cut(self) -> Path:
        """The weights after the hard cut, there only where they are trained on after it."""
        return self.path / "after_cut.safetensors"

    @property
    def dense_checkpoints(self) -> Path:
        """Checkpoints of the dense training, there only until it has come to its end."""
        return self.path / "dense_checkpoints"

    def claim(self) -> None:
        """Makes the folder for a new run.

        Raises:
            UsageError: it holds a run already, or something else that is not empty.
        """
        if self.config.exists():
            way_out = f"Go on with it: slrprune prune --resume {self.path}; or name another folder with --out."
            raise UsageError(str(self.path), "the folder holds a run already", way_out)
        self.path.mkdir(parents=True, exist_ok=True)

    def check_resumable(self) -> None:
        """Refuses what cannot be gone on with.

        Raises:
            DataError: no run lies there.
            UsageError: the run has come to its end.
        """
        if not self.config.is_file():
            raise DataError(str(self.path), "is no folder of a run: it holds no config.yaml", "Name the run's folder.")
        if self.summary.exists():
            status = json.loads(self.summary.read_text()).get("status", "ok")
            way_out = "Its figures are in summary.json; begin another run to change something."
            raise UsageError(str(self.path), f"the run has come to its end already, status {status!r}", way_out)

    def write_json(self, name: str, value: Mapping[str, Any]) -> None:
        """Writes JSON; NaN and infinity become null."""
        self.write_text(name, json.dumps(finite(value), indent=1, allow_nan=False) + "\n")

    def write_text(self, name: str, text: str) -> None:
        """Writes a text file in UTF-8."""
        write_atomically(self.path / name, lambda partial: partial.write_text(text, encoding="utf-8"))


def write_model(model: nn.Module, path: Path, metadata: dict[str, str] | None = None) -> None:
    """Writes the state dict as safetensors; tied weights are written once."""

    def write(partial: Path) -> None:
        partial.touch()
        mode = partial.stat().st_mode & 0o7777
        save_model(model, str(partial), metadata)
        partial.chmod(mode)  # safetensors lets nobody but the owner read what it writes

    write_atomically(path, write)


def finite(value: Any) -> Any:
    """The value with null in place of every number that is not finite."""
    if isinstance(value, Mapping):
        return {str(name): finite(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
