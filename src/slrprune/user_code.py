"""The user's own code on a command line: `module:function` and `path/to/file.py:function`."""

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from slrprune.errors import SlrpruneError, UsageError, closest, suggestion

_SUFFIX = ".py"


def load_function(name: str, verb: str) -> Callable[..., Any]:
    """The function behind `module:function` or `path/to/file.py:function`.

    Args:
        name: as the user wrote it, with a colon in it.
        verb: for messages.

    Raises:
        UsageError: the file or the module is missing or cannot be imported, or holds no such function; the closest
            names are told.
    """
    place, _, attribute = name.rpartition(":")
    module = _import_file(Path(place), verb) if place.endswith(_SUFFIX) else import_module(place, verb)
    function: Callable[..., Any] | None = getattr(module, attribute, None)
    if not callable(function):
        own = [entry for entry, value in vars(module).items() if callable(value) and not entry.startswith("_")]
        way_out = f"Closest: {', '.join(closest(attribute, own))}." if own else "It holds no functions."
        raise UsageError(verb, f"{place!r} has no function {attribute!r}", way_out)
    return function


def lacks_function(name: str) -> bool:
    """Whether `name` is a file of the user's own without `:function` behind it, which is easily forgotten."""
    return name.endswith(_SUFFIX)


def refuse_file_alone(name: str, verb: str) -> None:
    """Says what a file's name lacks.

    Raises:
        UsageError: `name` is a file without `:function` behind it.
    """
    if lacks_function(name):
        raise UsageError(verb, f"{name} names no function in the file", f"Write it behind a colon: {name}:make_task.")


def call(function: Callable[..., Any], name: str, options: Mapping[str, Any], verb: str) -> Any:
    """Calls the function with the options as keyword arguments, which are checked against its signature by name.

    Raises:
        UsageError: an option that the function does not take.
    """
    parameters = inspect.signature(function).parameters
    takes_all = any(entry.kind is inspect.Parameter.VAR_KEYWORD for entry in parameters.values())
    for option in () if takes_all else options:
        if option not in parameters:
            all_of_them = f"Its settings: {', '.join(parameters)}." if parameters else "It takes none."
            raise UsageError(verb, f"{name} has no setting {option!r}", suggestion(option, parameters) or all_of_them)
    return function(**options)


def import_module(name: str, verb: str) -> ModuleType:
    """Imports a module, from the present folder, too.

    Args:
        name: dotted.
        verb: for messages.

    Raises:
        UsageError: it cannot be imported.
        SlrpruneError: what the module itself raises, for example that an extra is missing.
    """
    _search(Path.cwd())
    try:
        return importlib.import_module(name)
    except SlrpruneError:
        raise
    except ImportError as error:
        raise UsageError(verb, f"the module {name!r} cannot be imported ({error})") from error


def _import_file(path: Path, verb: str) -> ModuleType:
    """Imports a file under its own name: so that worker processes, which unpickle what it made, find it again."""
    if not path.is_file():
        raise UsageError(verb, f"there is no file {str(path)!r}", "Write one with: slrprune new-task.")
    path = path.resolve()
    _search(path.parent)
    module = import_module(path.stem, verb)
    found = getattr(module, "__file__", None)
    if found is None or Path(found).resolve() != path:
        raise UsageError(verb, f"{path.name} has the name of another module, {path.stem!r}", "Rename the file.")
    return module


def _search(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
