"""Final models of runs, kept as sparse files beside the records, with what it takes to build them again."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from torch import nn

from slrprune.atomic import write_atomically
from slrprune.deploy.sparse_file import load_sparse, save_sparse
from slrprune.errors import ArgumentError, DataError, StateError
from slrprune.tasks import Task, get

KEPT_VERSION = 1
"""Version of the note beside a kept model."""
_FOLDER = "models"
_PLAIN = (bool, int, float, str, PurePath, type(None))


@dataclass(frozen=True)
class Keep:
    """Which runs leave their final model behind.

    Args:
        options: the arguments that the task was made with, by which `slrprune.tasks.get` makes it again: plain values
            and paths, which are written down from the root, since the note may be read from elsewhere.
        arms: names of arms; None for all.
        seeds: None for all.

    Raises:
        ArgumentError: an option that is no plain value.
    """

    options: Mapping[str, Any]
    arms: tuple[str, ...] | None = None
    seeds: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        for name, value in self.options.items():
            if not isinstance(value, _PLAIN):
                rule = "must hold bools, numbers, strings, paths and None only, so that it can be written down"
                raise ArgumentError("Keep", "options", {name: value}, rule)

    def wants(self, arm: str, seed: int) -> bool:
        """Whether this run's model is kept."""
        return (self.arms is None or arm in self.arms) and (self.seeds is None or seed in self.seeds)

    def save(self, model: nn.Module, task: Task, record: Path, run: str) -> None:
        """Writes the model, then the note.

        Args:
            model: after the cut.
            task: what it was pruned on.
            record: path of the run's record.
            run: what the run was, in words.
        """
        path = kept_path(record)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_sparse(model, path)
        options = {
            name: str(Path(value).resolve()) if isinstance(value, PurePath) else value
            for name, value in self.options.items()
        }
        note = {"version": KEPT_VERSION, "task": task.name, "options": options, "run": run}
        text = json.dumps(note, indent=1) + "\n"
        write_atomically(path.with_suffix(".json"), lambda partial: partial.write_text(text, encoding="utf-8"))


@dataclass(frozen=True)
class KeptModel:
    """A model that a run left behind.

    Attributes:
        path: its sparse file.
        task: name of its task.
        options: what the task was made with.
        run: what the run was, in words.
    """

    path: Path
    task: str
    options: Mapping[str, Any]
    run: str

    def rebuild(self, **options: Any) -> tuple[nn.Module, Task]:
        """The model in eval mode, and its task.

        Args:
            **options: replace those that were kept, for example `data=...` where the data have moved.

        Raises:
            ArgumentError: there is no such task.
            DataError, StateError: the file is damaged, or belongs to another model.
        """
        task = get(self.task, **{**self.options, **options})
        model = task.build_model()
        load_sparse(self.path, model)
        return model.eval(), task

    def export_path(self, ending: str) -> Path:
        """Where an export goes unless the user names a place: into the folder of the comparison."""
        return self.path.parent.parent / f"{self.path.stem}{ending}"


def kept_path(record: Path) -> Path:
    """Where the model of the run with this record is kept."""
    return record.parent / _FOLDER / f"{record.stem}.safetensors"


def kept_models(folder: Path) -> tuple[KeptModel, ...]:
    """The models kept in the folder of a comparison, in the order of their names.

    Raises:
        DataError: a note that is missing or damaged.
        StateError: a note of another version.
    """
    return tuple(kept_model(path) for path in sorted((folder / _FOLDER).glob("*.safetensors")))


def kept_model(path: Path) -> KeptModel:
    """One kept model, by the path of its sparse file. Raises as `kept_models`."""
    note = path.with_suffix(".json")
    try:
        content = json.loads(note.read_text(encoding="utf-8"))
        version = content["version"]
        if version == KEPT_VERSION:
            return KeptModel(path, str(content["task"]), dict(content["options"]), str(content["run"]))
    except FileNotFoundError as error:
        problem = f"is no model that a run kept: there is no {note.name} beside it"
        raise DataError(str(path), problem, "Name a file in the folder 'models' of a run.") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        problem = f"does not say how to build {path.name} ({type(error).__name__})"
        raise DataError(str(note), problem, "Delete the model, and repeat the run.") from error
    raise StateError(str(note), f"has version {version}, and this program reads version {KEPT_VERSION}")
