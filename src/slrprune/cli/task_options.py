"""What several verbs read alike: a task with its options, and modules of the user's own."""

import ast
import importlib
import inspect
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from slrprune.errors import ArgumentError, SlrpruneError, UsageError, closest

if TYPE_CHECKING:
    from slrprune.tasks import Task


def build_task(name: str, options: dict[str, Any], verb: str) -> "Task":
    """The task with its options, which are checked against its class by name.

    Args:
        name: of the task.
        options: its settings by name.
        verb: for messages.

    Raises:
        ArgumentError: an unknown task; the message lists what there is.
        UsageError: a setting that the task does not have.
    """
    from slrprune.tasks import get, task_class

    known = list(inspect.signature(task_class(name)).parameters)
    for option in options:
        if option not in known:
            problem = f"the task {name!r} has no setting {option!r}"
            raise UsageError(verb, problem, f"The closest of its settings is {closest(option, known, 1)[0]!r}.")
    return get(name, **options)


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


def import_module(name: str, verb: str) -> ModuleType:
    """Imports a module, from the present folder, too.

    Args:
        name: dotted.
        verb: for messages.

    Raises:
        UsageError: it cannot be imported.
        SlrpruneError: what the module itself raises, for example that an extra is missing.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except SlrpruneError:
        raise
    except ImportError as error:
        raise UsageError(verb, f"the module {name!r} cannot be imported ({error})") from error


def plain(options: dict[str, Any]) -> dict[str, Any]:
    """The options as values that can be written down: paths become text."""
    return {name: str(value) if isinstance(value, Path) else value for name, value in options.items()}
