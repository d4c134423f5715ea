"""A task from its name and its settings: a built-in name, or a function of the user's own that returns a task."""

import inspect
from collections.abc import Mapping
from typing import Any

import torch

from slrprune.errors import ArgumentError, UsageError, suggestion
from slrprune.seeding import seeded
from slrprune.tasks.base import Task
from slrprune.tasks.registry import available, get, task_class
from slrprune.user_code import call, load_function, refuse_file_alone

MODEL_PREFIXES = ("timm:", "hf:")
"""How the name of a model without data begins."""

_KINDS = {bool: "true or false", int: "a whole number", float: "a number"}


def build_task(name: str, options: Mapping[str, Any], verb: str) -> Task:
    """A new task.

    Args:
        name: a built-in name, `module:function`, or `path/to/file.py:function`.
        options: arguments of the task's class, or of the function.
        verb: for messages.

    Raises:
        UsageError: an unknown name or setting, with the closest ones; a function that cannot be found or returns
            something else.
        ArgumentError: a setting of another kind, such as a text where a number belongs.
        SlrpruneError: what building the task raises.
    """
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
    function = load_function(name, verb)
    with seeded(0, torch.device("cpu")):
        return call(function, name, options, verb)


def task_parameters(name: str, verb: str) -> tuple[str, ...]:
    """Names of what the task's class or function may be given. Args and Raises as `build_task`."""
    target = task_class(name) if name in available() else load_function(name, verb)
    return tuple(inspect.signature(target).parameters)


def _built_in(name: str, options: Mapping[str, Any], verb: str) -> Task:
    """A task by name; its settings are checked against its class."""
    if name not in available():
        refuse_file_alone(name, verb)
        near = suggestion(name, available(), "Did you mean {!r}? ")
        way_out = f"{near}Built in are {', '.join(available())}; your own: file.py:function."
        raise UsageError(verb, f"there is no task {name!r}", way_out)
    known = inspect.signature(task_class(name)).parameters
    for option, value in options.items():
        if option not in known:
            near = suggestion(option, known, "The closest of its settings is {!r}.")
            way_out = near or f"Its settings: {', '.join(known)}."
            raise UsageError(verb, f"the task {name!r} has no setting {option!r}", way_out)
        if rule := kind_rule(value, known[option].annotation):
            raise ArgumentError(verb, option, value, rule)
    return get(name, **options)


def kind_rule(value: object, annotation: object) -> str:
    """What a setting must be, where it is of one plain kind and `value` of another; "yes" would count as true.

    Args:
        value: what is given.
        annotation: of the setting's parameter.

    Examples:
        >>> kind_rule("64", int), kind_rule(64, int), kind_rule(1, float), kind_rule("any", str | None)
        ('must be a whole number', '', '', '')
    """
    kind = next((kind for kind in _KINDS if annotation in (kind, kind.__name__)), None)
    if kind is None or type(value) is kind or (kind is float and type(value) is int):
        return ""
    return f"must be {_KINDS[kind]}"
