"""The figures of a model on a split: the task's metric, and what else the task tells about it."""

from collections.abc import Mapping
from typing import NamedTuple

from torch import nn

from slrprune.tasks.base import Split, Task


class Figures(NamedTuple):
    """How good a model is.

    Attributes:
        metric: the task's metric in percent.
        details: further figures by name, without the metric; see `Task.details`.
    """

    metric: float
    details: Mapping[str, float]


def measured(task: Task, model: nn.Module, split: Split) -> Figures:
    """All figures, in one pass over the split where the task's details come with its metric."""
    found = {name: float(value) for name, value in task.details(model, split).items()}
    metric = found.pop(task.metric, None)
    return Figures(task.evaluate(model, split) if metric is None else metric, found)
