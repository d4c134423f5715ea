"""The model that a finished run left in its folder, built again."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from torch import nn

from slrprune.config import RunConfig, load_config
from slrprune.deploy.sparse_file import load_sparse
from slrprune.errors import DataError
from slrprune.tasks.base import Task
from slrprune.tasks.options import build_task
from slrprune.train.dense import fresh_model
from slrprune.train.rundir.folder import RunFolder

_HERE: Mapping[str, Any] = MappingProxyType({"device": "cpu", "strict": False})
"""Settings of a task that an export does not take from the run."""


@dataclass(frozen=True)
class FinalModel:
    """The model after the cut, and after the retraining where there was one.

    Attributes:
        path: its sparse file.
        run: what the run was, in words.
        config: of the run.
    """

    path: Path
    run: str
    config: RunConfig

    def rebuild(self, **options: Any) -> tuple[nn.Module, Task]:
        """The model in eval mode on the CPU, and its task.

        Args:
            **options: replace those of the run, for example `data=...` where the data have moved.

        Raises:
            UsageError: the task cannot be found.
            DataError, StateError: the file is damaged, or belongs to another model.
            SlrpruneError: what building the task raises.
        """
        config = self.config
        given = {"data": None if config.data is None else Path(config.data), "batch_size": config.batch_size}
        known = {name: value for name, value in given.items() if value is not None}
        # The run's GPU may be missing here, and the data were checked when it began.
        here = {name: value for name, value in _HERE.items() if name in config.task_options}
        task = build_task(config.task, {**config.task_options, **here, **known, **options}, "export")
        model = fresh_model(task, config.seed)
        load_sparse(self.path, model)
        return model.eval(), task

    def export_path(self, ending: str) -> Path:
        """Where an export goes unless the user names a place: into the run's folder."""
        return self.path.with_name(f"{self.path.stem}{ending}")


def final_model(folder: Path) -> FinalModel:
    """The model in the folder of a run; see docs/run_directory.md.

    Raises:
        DataError: the run has not come to its end, or left no model; or a file of it is damaged.
        ConfigError: the configuration is damaged.
    """
    place = RunFolder(folder)
    config = load_config(place.config)
    if not place.summary.is_file():
        way_out = f"Go on with it: slrprune prune --resume {folder}."
        raise DataError(str(folder), "the run has not come to its end, so that there is no final model", way_out)
    try:
        summary = json.loads(place.summary.read_text(encoding="utf-8"))
        status, method = summary["status"], summary["method"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(str(place.summary), f"the summary is damaged ({type(error).__name__})") from error
    path = folder / "model.slrprune"
    if not path.is_file():
        raise DataError(str(folder), f"the run left no model, its status is {status!r}", "Repeat the run.")
    return FinalModel(path, f"{summary['task']}, {method}, seed {config.seed}", config)
