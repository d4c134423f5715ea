"""Tasks by name."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from slrprune.errors import ArgumentError, suggestion
from slrprune.tasks.base import Task
from slrprune.tasks.cifar10 import Cifar10
from slrprune.tasks.coco import Coco, CocoSegmentation
from slrprune.tasks.digits import Digits
from slrprune.tasks.graph import Graph
from slrprune.tasks.imagenet import ImageNet
from slrprune.tasks.kitti import Kitti
from slrprune.tasks.text import Text
from slrprune.tasks.tusimple import TuSimple

_TASKS: Mapping[str, type[Task]] = MappingProxyType(
    {task.name: task for task in (Digits, Cifar10, ImageNet, Coco, CocoSegmentation, Kitti, TuSimple, Graph, Text)}
)


def available() -> tuple[str, ...]:
    """Names of all tasks, in the order of docs/tasks.md."""
    return tuple(_TASKS)


def task_class(name: str) -> type[Task]:
    """The class behind a name, whose signature holds the task's settings.

    Raises:
        ArgumentError: an unknown name; the message lists what there is.
    """
    if name not in _TASKS:
        way_out = suggestion(name, available(), "Did you mean {!r}?")
        raise ArgumentError("tasks.get", "name", name, f"must be one of {', '.join(available())}", way_out)
    return _TASKS[name]


def get(name: str, **options: Any) -> Task:
    """A new task.

    Args:
        name: one of `available()`.
        **options: arguments of the task's class, for example `data="..."` for "cifar10" or `fold=1` for "digits".

    Raises:
        ArgumentError: an unknown name; the message lists what there is.
        SlrpruneError: whatever the task's class raises, for example missing data.

    Examples:
        >>> get("digits", fold=1).steps_per_epoch
        19
    """
    return task_class(name)(**options)
