"""Which splits a task has."""

from slrprune.errors import UsageError
from slrprune.tasks.base import Split, Task


def has_split(task: Task, split: Split) -> bool:
    """Whether the task has this split; `Task.batches` says so by refusing."""
    try:
        next(iter(task.batches(split)), None)
    except UsageError:
        return False
    return True
