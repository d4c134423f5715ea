"""The folder of a run: what is pruned so far, and in the end a checkpoint.

    oneshot.json                    the run's fingerprint and digests of the tensors that it began with; the budget of
                                    joint sets; the records of finished stages and the digests of their pruned weights
    stage-0000.safetensors, ...     the parameters of every finished stage
    rest.safetensors                all others, written at the end
    model.safetensors.index.json    names to files, written at the end: what transformers reads

Every file appears complete or not at all, and `oneshot.json` names a stage only after its file is there. So a killed
run loses at most the stage it was in.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from slrprune.atomic import write_atomically
from slrprune.errors import DataError, StateError
from slrprune.oneshot.report import LayerRecord

_VERSION = 2


class Journal:
    """What a folder knows of a run.

    Args:
        folder: is made where it is missing.
        fingerprint: of model, rules, solver and calibration: a folder of another run is refused.
        dense: digests of the model's tensors, by name. Where a stage is finished its weights may be pruned, too, as the
            model has them that the run was called with; no other differences are allowed.

    Raises:
        StateError: a folder of another version, or of a run with other settings or other weights.
        DataError: a folder whose files cannot be read.
    """

    def __init__(self, folder: Path, fingerprint: str, dense: Mapping[str, str]) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "oneshot.json"
        self._content: dict[str, Any] = {
            "version": _VERSION,
            "fingerprint": fingerprint,
            "dense": dict(dense),
            "counts": {},
            "stages": [],
            "pruned": {},
        }
        if self._path.exists():
            self._content = self._read(fingerprint, dense)

    def _read(self, fingerprint: str, dense: Mapping[str, str]) -> dict[str, Any]:
        try:
            content: dict[str, Any] = json.loads(self._path.read_text(encoding="utf-8"))
        except json.JSONDecodeError as error:
            raise DataError(str(self._path), f"is no JSON ({error})", "Delete the folder and start again.") from None
        if content.get("version") != _VERSION:
            problem = "was written by another version of slrprune"
            raise StateError(str(self._folder), problem, "Name another folder, or delete this one.")
        if content["fingerprint"] != fingerprint:
            problem = "belongs to a run with another model, other rules, another solver or other calibration data"
            raise StateError(str(self._folder), problem, "Name another folder, or delete this one.")
        for name, found in dense.items():
            if found not in (content["dense"].get(name), content["pruned"].get(name)):
                problem = f"belongs to a run that began with other values of {name!r}, or was stopped while pruning it"
                way_out = "Load the weights that it began with, name another folder, or delete this one."
                raise StateError(str(self._folder), problem, way_out)
        return content

    @property
    def finished(self) -> int:
        """How many stages are done."""
        return len(self._content["stages"])

    @property
    def counts(self) -> dict[str, int]:
        """Entries that the layers of joint sets keep; empty before they are known."""
        return dict(self._content["counts"])

    @counts.setter
    def counts(self, counts: Mapping[str, int]) -> None:
        self._content["counts"] = dict(counts)
        self._write()

    def records(self, stage: int) -> tuple[LayerRecord, ...]:
        """The records of a finished stage."""
        return tuple(LayerRecord.from_dict(entry) for entry in self._content["stages"][stage])

    def load(self, stage: int) -> dict[str, Tensor]:
        """The parameters of a finished stage.

        Raises:
            DataError: a file that is missing or damaged.
        """
        path = self._stage_path(stage)
        try:
            return load_file(path)
        except Exception as error:
            problem = f"cannot be read ({error})"
            raise DataError(str(path), problem, "Delete the folder and start again.") from None

    def add(self, tensors: Mapping[str, Tensor], records: Sequence[LayerRecord], pruned: Mapping[str, str]) -> None:
        """Stores the next stage; `pruned` are the digests of its weights."""
        self._save(self._stage_path(self.finished), tensors)
        self._content["stages"].append([record.to_dict() for record in records])
        self._content["pruned"].update(pruned)
        self._write()

    def close(self, rest: Mapping[str, Tensor], stage_names: Sequence[Sequence[str]]) -> None:
        """Writes what no stage holds, and the index that makes the folder a checkpoint.

        Args:
            rest: the other tensors.
            stage_names: the tensor names of every stage.
        """
        self._save(self._folder / "rest.safetensors", rest)
        files = {name: self._stage_path(stage).name for stage, names in enumerate(stage_names) for name in names}
        files.update(dict.fromkeys(rest, "rest.safetensors"))
        index = {"metadata": {"format": "pt"}, "weight_map": files}
        text = json.dumps(index, indent=1)
        path = self._folder / "model.safetensors.index.json"
        write_atomically(path, lambda partial: partial.write_text(text, encoding="utf-8"))

    def _stage_path(self, stage: int) -> Path:
        return self._folder / f"stage-{stage:04d}.safetensors"

    def _save(self, path: Path, tensors: Mapping[str, Tensor]) -> None:
        plain = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
        write_atomically(path, lambda partial: save_file(plain, partial, metadata={"format": "pt"}))

    def _write(self) -> None:
        text = json.dumps(self._content, indent=1)
        write_atomically(self._path, lambda partial: partial.write_text(text, encoding="utf-8"))
