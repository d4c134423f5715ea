"""What a task was set to, for the reader of a record; what has to be compared exactly is in the fingerprint."""

import math
from pathlib import PurePath

from slrprune.tasks.base import Task
from slrprune.tasks.tensor_task import TensorTask
from slrprune.tasks.weights_file import WeightsFile


def task_settings(task: Task) -> dict[str, bool | int | float | str]:
    """The task's plain attributes, files by their name alone, and the sizes of its splits where they are known.

    Examples:
        >>> from slrprune.tasks import Digits
        >>> task_settings(Digits(fold=1))
        {'batch_size': 64, 'bf16': False, 'fold': 1, 'train': 1257, 'val': 180, 'test': 360}
    """
    found: dict[str, bool | int | float | str] = {}
    for name, value in sorted(vars(task).items()):
        if isinstance(value, WeightsFile):
            found[name] = value.path.name
        elif isinstance(value, PurePath):
            found[name] = value.name
        elif isinstance(value, float) and not math.isfinite(value) and not name.startswith("_"):
            found[name] = str(value)  # JSON has no such number
        elif isinstance(value, (bool, int, float, str)) and not name.startswith("_"):
            found[name] = value
    sizes = (
        {str(name): len(split.targets) for name, split in task.splits.items()} if isinstance(task, TensorTask) else {}
    )
    return found | sizes
