"""TASK on the command line, with its settings: a built-in name, or a function of the user's own that returns a task."""

import ast
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slrprune.errors import ArgumentError, UsageError

if TYPE_CHECKING:
    from slrprune.tasks import Task

TASK_HELP = "A built-in task (see: slrprune tasks), or module:function or file.py:function that returns your own."
DATA_HELP = "Folder of the task's data, where it needs one."
OPTION_HELP = "A setting of the task, as name=value; repeat for several."
STRICT_HELP = "Refuse bad data by the file's name, not skip it."

_AS_IN_YAML = {"true": True, "false": False, "null": None}


def resolve_task(name: str, options: Sequence[str], data: Path | None, verb: str) -> "Task":
    """What TASK stands for.

    Args:
        name: TASK: a built-in name, `module:function`, or `path/to/file.py:function`.
        options: what was given as --option, each name=value; arguments of the task's class, or of the function.
        data: what was given as --data; the argument `data` of the same.
        verb: for messages.

    Raises:
        ArgumentError: an option without an equals sign.
        SlrpruneError: as `slrprune.tasks.options.build_task`.
    """
    from slrprune.tasks.options import build_task

    return build_task(name, read_options(options, data, verb), verb)


def read_options(entries: Sequence[str], data: Path | None, verb: str) -> dict[str, Any]:
    """name=value, the value read as Python where it can be, true, false and null as in YAML; existing paths are paths.

    Paths stay paths, so that no record depends on them.

    Args:
        entries: what was given as --option.
        data: what was given as --data.
        verb: for messages.

    Raises:
        ArgumentError: an entry without an equals sign.
    """
    found: dict[str, Any] = {} if data is None else {"data": data}
    for entry in entries:
        name, equals, value = entry.partition("=")
        if not equals:
            raise ArgumentError(verb, "option", entry, "must have the form name=value")
        if value in _AS_IN_YAML:
            found[name] = _AS_IN_YAML[value]
            continue
        try:
            found[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            found[name] = Path(value) if Path(value).exists() else value
    return found


def strict_options(task: str, options: Mapping[str, Any], verb: str) -> dict[str, Any]:
    """`options` with the setting `strict`, which makes a task refuse bad data.

    A built-in task without this setting never skips anything, so that there is nothing to set: what it is asked for is
    what it does.

    Args:
        task: as in `resolve_task`.
        options: settings of the task.
        verb: for messages.

    Raises:
        UsageError: a function of the user's own that does not take `strict`: nobody knows what its task skips.
    """
    from slrprune.tasks import available
    from slrprune.tasks.options import MODEL_PREFIXES, task_parameters

    is_own = task not in available()
    if is_own and (":" not in task or task.startswith(MODEL_PREFIXES)):
        return dict(options)  # whoever builds it says that there is no such task, or that a model has no data
    if "strict" in task_parameters(task, verb):
        return {**options, "strict": True}
    if is_own:
        way_out = "Give it one that says whether bad data are refused or skipped, or leave --strict out."
        raise UsageError(f"{verb} --strict", f"{task} takes no argument 'strict'", way_out)
    return dict(options)
