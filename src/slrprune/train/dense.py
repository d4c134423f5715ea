"""The dense model that a run starts from: taken over or trained, and kept with its figures in the run's folder."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_model
from torch import nn

from slrprune.errors import DataError
from slrprune.seeding import seeded
from slrprune.tasks.base import Task
from slrprune.train.rundir.folder import write_model


@dataclass(frozen=True)
class DenseFigures:
    """How good the dense model is: the metric in percent.

    Attributes:
        final: on the split of the final figures.
        val: on the "val" split; None where the task has none.
        details: the task's further figures on the split of the final ones; empty in the files of earlier versions.
    """

    final: float
    val: float | None
    details: Mapping[str, float] = field(default_factory=dict)


def fresh_model(task: Task, seed: int) -> nn.Module:
    """A model with weights drawn from the seed."""
    with seeded(seed, task.device):
        return task.build_model()


def given_model(task: Task, seed: int, path: Path | None) -> nn.Module | None:
    """The model with the weights of a file, or the task's own trained ones; None where neither is there.

    Raises:
        DataError: the file is missing, damaged, or of another model.
    """
    if path is None:
        return task.pretrained()
    model = fresh_model(task, seed)
    _load(model, path, "Name a safetensors file of the task's model.")
    return model


def save_dense(model: nn.Module, figures: DenseFigures, path: Path) -> None:
    """Writes weights and figures; the figures lie in the file's header, so that the two cannot be separated."""
    metadata = {"dense": json.dumps(asdict(figures))}
    write_model(model, path, metadata)


def load_dense(task: Task, seed: int, path: Path) -> tuple[nn.Module, DenseFigures]:
    """A new model with the kept weights, and their figures.

    Raises:
        DataError: the file is damaged.
    """
    way_out = "Begin the run anew in another folder."
    model = fresh_model(task, seed)
    _load(model, path, way_out)
    try:
        with safe_open(path, framework="pt") as file:
            return model, DenseFigures(**json.loads(file.metadata()["dense"]))
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(str(path), "the header holds no figures", way_out) from error


def _load(model: nn.Module, path: Path, way_out: str) -> None:
    try:
        load_model(model, path)
    except (OSError, SafetensorError) as error:
        raise DataError(str(path), f"the dense weights cannot be read ({error})", way_out) from error
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(str(path), f"the weights are of another model ({reason})", way_out) from error
