"""Weights from a file: what tasks begin with, or prune."""

import hashlib
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from slrprune.errors import DataError, StateError

_CHUNK = 1 << 20  # bytes


@dataclass(frozen=True)
class WeightsFile:
    """A file of weights from which every seed's dense training starts, known by its content.

    As a task's attribute it enters the fingerprint of a comparison: the same weights elsewhere are the same setting,
    others under the same name are not.

    Args:
        path: where the file lies.
        digest: SHA-256 of its content, 64 hexadecimal digits.
    """

    path: Path
    digest: str

    @classmethod
    def of(cls, path: str | PathLike[str] | None) -> "WeightsFile | None":
        """The file at `path`; None for None.

        Raises:
            DataError: it is missing or cannot be read.
        """
        if path is None:
            return None
        digest = hashlib.sha256()
        try:
            with Path(path).open("rb") as file:
                while chunk := file.read(_CHUNK):
                    digest.update(chunk)
        except FileNotFoundError:
            raise DataError("weights", f"no file {path}") from None
        except OSError as error:
            raise DataError("weights", f"{path} cannot be read: {error.strerror}") from error
        return cls(Path(path), digest.hexdigest())

    def load(self) -> dict[str, Tensor]:
        """Its state dict; Raises as `load_checkpoint`."""
        return load_checkpoint(self.path)


def load_checkpoint(path: str | PathLike[str]) -> dict[str, Tensor]:
    """The state dict in a checkpoint file, on the CPU.

    Takes a `.safetensors` file, or a file of `torch.save` with a state dict, or with a dictionary that holds one under
    "state_dict" as the `.th` files of akamaster/pytorch_resnet_cifar10 do. Removes the `module.` prefix that
    DataParallel adds. Nothing but tensors and plain containers is unpickled.

    Raises:
        DataError: the file is missing, or not a checkpoint that can be read safely.
        StateError: the file holds something other than a state dict.
    """
    file = Path(path)
    if not file.is_file():
        raise DataError("load_checkpoint", f"no file {file}")
    try:
        is_safetensors = file.suffix == ".safetensors"
        content = load_file(file) if is_safetensors else torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged pickles raise nearly anything: IndexError, struct.error ...
        raise DataError("load_checkpoint", f"{file} is damaged, or holds more than tensors") from error
    state = content.get("state_dict", content) if isinstance(content, dict) else content
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise StateError("load_checkpoint", f"{file} holds no state dict")
    return {str(name).removeprefix("module."): tensor for name, tensor in state.items()}
