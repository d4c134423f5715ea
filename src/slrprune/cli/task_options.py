"""TASK on the command line, with its settings: a built-in name, or a function of the user's own that returns a task."""

import ast
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slrprune.cli.user_code import call, load_function
from slrprune.errors import ArgumentError, UsageError, closest

if TYPE_CHECKING:
    from slrprune.tasks import Task

TASK_HELP = "A built-in task (see: slrprune tasks), or module:function or file.py:function that returns your own."
DATA_HELP = "Folder of the task's data, where it needs one."
OPTION_HELP = "A setting of the task, as name=value; repeat for several."
MODEL_PREFIXES = ("timm:", "hf:")


def resolve_task(name: str, options: Sequence[str], data: Path | None, verb: str) -> "Task":
    """What TASK stands for.

    Args:
        name: TASK: a built-in name, `module:function`, or `path/to/file.py:function`.
        options: what was given as --option, each name=value; arguments of the task's class, or of the function.
        data: what was given as --data; the argument `data` of the same.
        verb: for messages.

    Raises:
        ArgumentError: an option without an equals sign.
        UsageError: an unknown name or setting, with the closest ones; a function that cannot be found or returns
            something else.
        SlrpruneError: what building the task raises.
    """
    return build_task(name, read_options(options, data, verb), verb)


def build_task(name: str, options: Mapping[str, Any], verb: str) -> "Task":
    """As `resolve_task`, with the settings already read."""
    from slrprune.tasks import Task

    if ":" not in name:
        return _built_in(name, options, verb)
    if name.startswith(MODEL_PREFIXES):
        way_out = "Return it from a task of your own, with its data: slrprune new-task writes one to begin with."
        raise UsageError(verb, f"{name} is a model without data", way_out)
    made = call_seeded(name, options, verb)
    if not isinstance(made, Task):
        way_out = "It must return a slrprune.tasks.Task: slrprune new-task writes one to begin with."
        raise UsageError(verb, f"{name} returned a {type(made).__name__}", way_out)
    return made


def call_seeded(name: str, options: Mapping[str, Any], verb: str) -> Any:
    """What a function of the user's own returns; what it draws from torch's generator is the same every time."""
    import torch

    from slrprune.train.seeding import seeded

    function = load_function(name, verb)
    with seeded(0, torch.device("cpu")):
        return call(function, name, options, verb)


def read_options(entries: Sequence[str], data: Path | None, verb: str) -> dict[str, Any]:
    """name=value, the value read as Python where it can be; paths stay paths, so that no record depends on them.

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
        try:
            found[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            found[name] = Path(value) if Path(value).exists() else value
    return found


def _built_in(name: str, options: Mapping[str, Any], verb: str) -> "Task":
    """A task by name; its settings are checked against its class."""
    from slrprune.tasks import available, get, task_class

    if name not in available():
        problem = f"there is no task {name!r}"
        nearest = closest(name, available(), 1)[0]
        way_out = f"Did you mean {nearest!r}? Built in are {', '.join(available())}; your own: file.py:function."
        raise UsageError(verb, problem, way_out)
    known = list(inspect.signature(task_class(name)).parameters)
    for option in options:
        if option not in known:
            problem = f"the task {name!r} has no setting {option!r}"
            raise UsageError(verb, problem, f"The closest of its settings is {closest(option, known, 1)[0]!r}.")
    return get(name, **options)
