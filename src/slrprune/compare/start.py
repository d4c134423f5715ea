"""The dense weights that all arms of a seed start from."""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_model, save_model
from torch import nn

from slrprune.atomic import write_atomically
from slrprune.compare.identity import combine, fingerprint, task_fingerprint
from slrprune.compare.record import PRETRAINED, RunRecord
from slrprune.errors import DataError, StateError
from slrprune.seeding import seeded
from slrprune.tasks.base import Task, has_split
from slrprune.train.loop import Epoch, train

_VERSION = 1
_FOLDER = "dense"


@dataclass(frozen=True)
class DenseStart:
    """Where the dense weights of one seed lie, and how good they are.

    Attributes:
        accuracy: on the test split, in percent; NaN where the metric is no number.
        val_accuracy: on the "val" split, likewise; None where the task has none.
    """

    accuracy: float
    val_accuracy: float | None


class DenseSource:
    """Makes and keeps the dense starts of a task in a folder: loaded where the task has trained weights, else trained.

    Args:
        task: the task.
        folder: of the comparison; the weights go into `dense` inside it.
    """

    def __init__(self, task: Task, folder: Path) -> None:
        self.task = task
        self.folder = folder / _FOLDER
        pretrained = task.pretrained()
        self.is_pretrained = pretrained is not None
        trained = f"trained by {task.dense_recipe!r}"
        # Of the weights alone: they are loaded into the task's own model, whose settings the task's fingerprint has.
        own = "" if pretrained is None else f"{PRETRAINED}, fingerprint {fingerprint(pretrained.state_dict())}"
        self.origin = own or trained
        self.fingerprint = combine({"version": _VERSION, "task": task_fingerprint(task), "origin": self.origin})

    def path(self, seed: int) -> Path:
        """The file of a seed; pretrained weights are the same for all."""
        origin = PRETRAINED if self.is_pretrained else f"s{seed}"
        name = f"{self.task.name}-{self.task.model_name}-{origin}-{self.fingerprint[:8]}.safetensors"
        return self.folder / name

    def make(self, seed: int, on_epoch: Callable[[Epoch], None] | None = None) -> None:
        """Trains or loads the weights of a seed, evaluates them once and writes the file, unless it is there.

        Raises:
            NonFiniteError: the dense training diverged.
        """
        path = self.path(seed)
        if path.exists():
            return
        model = self.task.pretrained()
        if model is None:
            with seeded(seed, self.task.device):
                model = self.task.build_model()
            train(model, self.task, self.task.dense_recipe, seed=seed, on_epoch=on_epoch)
        dense = model
        val = self.task.evaluate(dense, "val") if has_split(self.task, "val") else None
        start = DenseStart(self.task.evaluate(dense, "test"), val)
        self.folder.mkdir(parents=True, exist_ok=True)
        # In the file's own header, so that weights and figures cannot be separated.
        metadata = {"dense_start": json.dumps(asdict(start))}
        write_atomically(path, lambda partial: save_model(dense, str(partial), metadata))

    def load(self, seed: int) -> tuple[nn.Module, DenseStart]:
        """A new model with the weights of a seed, and their figures.

        Raises:
            DataError: the file is missing or damaged.
        """
        path = self.path(seed)
        way_out = "Delete the file, and the dense weights will be made again."
        try:
            with safe_open(path, framework="pt") as file:
                start = DenseStart(**json.loads(file.metadata()["dense_start"]))
            with seeded(seed, self.task.device):
                model = self.task.build_model()
            load_model(model, path)
        except (OSError, SafetensorError, RuntimeError, KeyError, TypeError, ValueError) as error:
            raise DataError(str(path), "holds no dense weights of this task", way_out) from error
        return model, start

    def check_same(self, seed: int, conditions: str, records: Iterable[RunRecord]) -> None:
        """Refuses weights that are not those which earlier runs of this seed started from.

        The same training gives other weights on another machine, and runs that began apart are no pair. Trained weights
        that came with the task are in the fingerprint already.

        Args:
            seed: whose file is there.
            conditions: of the comparison.
            records: of any runs; those of other seeds and other conditions are passed over.

        Raises:
            StateError: the weights differ; where a record does not tell its weights, their accuracy does.
        """
        alike = [record for record in records if (record.seed, record.conditions) == (seed, conditions)]
        if self.is_pretrained or not alike:
            return
        model, start = self.load(seed)
        weights = fingerprint(model.state_dict())
        for record in alike:
            told = record.dense_weights
            if told != weights if told else record.dense_accuracy not in (None, start.accuracy):
                name = self.path(seed).name
                problem = f"the run of {record.method}, seed {seed}, started from other dense weights than {name} has"
                way_out = "Put those weights there (did another machine make them?), or take another folder."
                raise StateError(str(self.folder.parent), problem, way_out)
