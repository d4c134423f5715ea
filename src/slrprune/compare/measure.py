"""Figures of a run that can be written down and averaged: where the metric is no number, there is a reason instead."""

import math

from torch import nn

from slrprune.tasks.base import Split, Task


class Measure:
    """Evaluates models on a task. A metric that is NaN or infinite becomes None, and a part of the reason.

    Tasks return NaN where a split holds nothing to measure, for example no object of any class; JSON knows no such
    number, and hours of training must not be lost for it.

    Args:
        task: for the evaluations.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self._found: dict[str, None] = {}

    def evaluate(self, model: nn.Module, split: Split, whose: str) -> float | None:
        """The metric of `model` on a split; `whose` says for the reason what it is, as in `checked`."""
        return self.checked(self.task.evaluate(model, split), split, whose)

    def checked(self, value: float | None, split: Split, whose: str) -> float | None:
        """`value` where it is a finite number, otherwise None.

        Args:
            value: of the metric; None where it was not measured, which is no fault.
            split: where it was measured.
            whose: for example "after the cut".
        """
        if value is None or math.isfinite(value):
            return value
        self._found[f"the {metric_of(self.task)} {whose} is {value} on the {split} split"] = None
        return None

    @property
    def reason(self) -> str:
        """One sentence on all that was no number; empty where everything was one."""
        if not self._found:
            return ""
        found = "; ".join(self._found)
        guess = "does that split hold nothing to measure, or is NaN what the model answers?"
        return f"{found[0].upper()}{found[1:]}: {guess}"


def metric_of(task: Task) -> str:
    """Name of the task's metric; a task that does not tell it has "metric"."""
    return str(getattr(task, "metric", "metric"))  # asked for when hours of training lie behind
