"""The fields `task` and `task_options` of a configuration, as far as they can be checked without running code."""

import inspect
from typing import Any

from pydantic_core import PydanticCustomError

from slrprune.errors import suggestion
from slrprune.user_code import lacks_function


def check_task(name: str) -> str:
    """`name` itself; raises where it is neither built in nor a function of the user's own."""
    from slrprune.tasks import available
    from slrprune.tasks.options import MODEL_PREFIXES

    if name.startswith(MODEL_PREFIXES):
        rule = "is a model without data; write module:function or file.py:function that returns a task"
        raise PydanticCustomError("task_wanted", rule)
    if lacks_function(name):
        rule = "must name the function in the file, too, as in {name}:make_task"
        raise PydanticCustomError("unknown_task", rule, {"name": name})
    if ":" not in name and name not in available():
        rule = "must be one of {known}, or module:function or file.py:function{near}"
        context = {"known": ", ".join(available()), "near": suggestion(name, available(), "; the closest is {}")}
        raise PydanticCustomError("unknown_task", rule, context)
    return name


def check_task_options(options: dict[str, Any], task: str | None) -> dict[str, Any]:
    """`options` themselves; raises where a built-in task has no such setting, or one of another kind.

    Args:
        options: arguments of the task's class.
        task: None where the name itself is wrong; nothing is checked then, nor for a user's function.
    """
    from slrprune.tasks import available, task_class
    from slrprune.tasks.options import kind_rule

    if task not in available():
        return options
    known = inspect.signature(task_class(task)).parameters
    problems = []
    for key, value in options.items():
        if key in known:
            rule = kind_rule(value, known[key].annotation)
        else:
            near = suggestion(key, known, "; the closest is {}")
            rule = f"is no setting of {task}, which has {', '.join(known)}{near}"
        if rule:
            problems.append((key, value, rule))
    if problems:
        raise PydanticCustomError("several", "{count} problems", {"count": len(problems), "problems": problems})
    return options
