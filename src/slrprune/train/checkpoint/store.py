"""The checkpoints of a run: written beside their names and renamed, checksummed, the last few kept."""

import hashlib
import json
import re
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save

from slrprune.durable import sync_folder, write_synced
from slrprune.errors import DataError, StateError
from slrprune.train.checkpoint.errors import CheckpointWriteError
from slrprune.train.checkpoint.tree import flatten, unflatten

VERSION = 1
_MANIFEST = "manifest.json"
_TENSORS = "tensors.safetensors"
_STATE = "state.json"
_WAY_OUT = "Begin the run anew in another folder."


@dataclass(frozen=True)
class Found:
    """A checkpoint that was read.

    Attributes:
        path: its folder.
        state: as it was saved.
        damaged: one sentence for every newer checkpoint that could not be read.
    """

    path: Path
    state: dict[str, Any]
    damaged: tuple[str, ...] = ()


class Checkpoints:
    """The checkpoints in a folder.

    A checkpoint is a folder `step-00001200` with `tensors.safetensors`, `state.json` and `manifest.json`, which holds
    the version and the SHA-256 of the other two. It is written under another name, flushed to the disk and renamed, so
    that a folder of that name is whole, whatever happened to the process or the machine.

    Args:
        folder: made when it is needed.
        keep: how many of the newest stay, at least 1.
    """

    def __init__(self, folder: Path, keep: int = 2) -> None:
        self.folder = folder
        self.keep = keep

    def paths(self) -> list[Path]:
        """The folders of all checkpoints, the newest first."""
        if not self.folder.is_dir():
            return []
        found = [path for path in self.folder.iterdir() if re.fullmatch(r"step-\d{8,}", path.name)]
        return sorted(found, key=lambda path: int(path.name.removeprefix("step-")), reverse=True)

    def save(self, step: int, state: Mapping[str, Any]) -> Path:
        """Writes a checkpoint, and then removes those beyond `keep`.

        Args:
            step: optimizer steps made.
            state: see `slrprune.train.checkpoint.tree.flatten`.

        Raises:
            CheckpointWriteError: a full or read-only disk, ...; the checkpoints before are untouched.
        """
        path = self.folder / f"step-{step:08d}"
        partial = self.folder / f".{path.name}.{secrets.token_hex(4)}.partial"
        files = _encoded(step, state)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            partial.mkdir()
            for name, content in files.items():
                write_synced(partial / name, content)
            sync_folder(partial)
            self._replace(partial, path)
        except OSError as error:
            shutil.rmtree(partial, ignore_errors=True)
            last = next((found for found in self.paths() if found != path), None)
            raise CheckpointWriteError(path, error.strerror or str(error), last) from error
        self._tidy()
        return path

    def newest(self) -> Found | None:
        """The newest checkpoint that is whole; None where there is none at all.

        Raises:
            DataError: all of them are damaged.
            StateError: a checkpoint of a newer version.
        """
        damaged: list[str] = []
        for path in self.paths():
            try:
                return Found(path, _decoded(path), tuple(damaged))
            except (DataError, OSError) as error:  # noqa: PERF203  (there are two or three)
                damaged.append(str(error))
        if damaged:
            problem = f"none of the {len(damaged)} checkpoints can be read: {' '.join(damaged)}"
            raise DataError(str(self.folder), problem.removesuffix("."), _WAY_OUT)
        return None

    def remove(self) -> None:
        """Removes all checkpoints."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _replace(self, partial: Path, path: Path) -> None:
        """Renames; a damaged folder of that name has to go first, since a folder cannot be replaced in one step."""
        if path.exists():
            old = partial.with_suffix(".old")
            path.rename(old)
            partial.rename(path)
            shutil.rmtree(old, ignore_errors=True)
        else:
            partial.rename(path)
        sync_folder(self.folder)

    def _tidy(self) -> None:
        for path in self.paths()[self.keep :]:
            # Renamed first: a folder that is half removed must not look like a checkpoint.
            gone = path.with_name(f".{path.name}.old")
            shutil.rmtree(gone, ignore_errors=True)
            path.rename(gone)
        for pattern in (".step-*.partial", ".step-*.old"):
            for path in self.folder.glob(pattern):
                shutil.rmtree(path, ignore_errors=True)


def _encoded(step: int, state: Mapping[str, Any]) -> dict[str, bytes]:
    """The files of a checkpoint by name, the manifest last."""
    tree, tensors = flatten(state)
    files = {_TENSORS: save(tensors), _STATE: json.dumps(tree).encode()}
    manifest = {
        "version": VERSION,
        "step": step,
        "files": {
            name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in files.items()
        },
    }
    return files | {_MANIFEST: json.dumps(manifest, indent=1).encode()}


def _decoded(path: Path) -> dict[str, Any]:
    """The state in a checkpoint; raises as `Checkpoints.newest`."""
    manifest = _parsed(path, _MANIFEST, _read(path, _MANIFEST))
    version = manifest.get("version") if isinstance(manifest, dict) else None
    if isinstance(version, int) and version > VERSION:
        problem = f"the checkpoint has version {version}, this slrprune reads up to {VERSION}"
        raise StateError(str(path), problem, "Update slrprune.")
    try:
        sums = {name: manifest["files"][name]["sha256"] for name in (_TENSORS, _STATE)}
    except (KeyError, TypeError) as error:
        raise DataError(str(path / _MANIFEST), "the manifest is incomplete") from error
    contents = {name: _read(path, name) for name in sums}
    for name, expected in sums.items():
        if hashlib.sha256(contents[name]).hexdigest() != expected:
            raise DataError(str(path / name), "the file is damaged, its checksum differs")
    try:
        tensors = load(contents[_TENSORS])
    except SafetensorError as error:
        raise DataError(str(path / _TENSORS), f"the file is damaged ({error})") from error
    state: dict[str, Any] = unflatten(_parsed(path, _STATE, contents[_STATE]), tensors)
    return state


def _read(path: Path, name: str) -> bytes:
    try:
        return (path / name).read_bytes()
    except FileNotFoundError as error:
        raise DataError(str(path / name), "the file is missing") from error


def _parsed(path: Path, name: str, content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError as error:
        raise DataError(str(path / name), "the file is damaged, it is no JSON") from error
