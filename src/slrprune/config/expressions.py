"""Sets and schedules as a file writes them, `NM(2, 4)`, read without executing anything."""

import ast
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache
from typing import Any

from slrprune.errors import SlrpruneError, suggestion


def parse(text: str, names: Mapping[str, type]) -> Any:
    """The object that an expression such as `Unstructured(0.8)` or `Channel(0.5) & NM(2, 4)` stands for.

    Allowed are calls of the given classes with literal or such arguments, members of given enumerations
    (`OnFailure.ROLLBACK`), literals, and `&` between sets. The text is parsed, never evaluated.

    Args:
        text: the expression.
        names: the classes that may be called, by name.

    Raises:
        ValueError: one sentence without a subject, "is not ...", also where a class refuses its arguments.

    Examples:
        >>> from slrprune.sets import NM
        >>> parse("NM(2, 4)", {"NM": NM})
        NM(n=2, m=4, dim=1, fraction=1.0)
    """
    try:
        return _value(ast.parse(text.strip(), mode="eval").body, names)
    except SyntaxError as error:
        raise ValueError(f"is not an expression such as {_example(names)}") from error
    except (RecursionError, MemoryError) as error:  # the latter is how Python's parser calls it
        raise ValueError("is nested too deep") from error


@cache
def set_names() -> Mapping[str, type]:
    """The sets, and the allocations that `Global` takes."""
    from slrprune import budget, sets

    found = (sets.Block, sets.Channel, sets.Column, sets.Global, sets.KernelPattern, sets.NM, sets.Unstructured)
    shares = (budget.ERK, budget.LAMP, budget.Magnitude, budget.Uniform)
    return {kind.__name__: kind for kind in (*found, *shares)}


@cache
def schedule_names() -> Mapping[str, type]:
    """What the fields of methods may hold: ramps, penalties, stepsizes, enumerations."""
    from slrprune import methods

    wanted = (methods.Ramp, methods.Penalty, methods.RelativeStepsize, methods.DecayingStepsize, Enum)
    found = {name: value for name, value in vars(methods).items() if isinstance(value, type)}
    return {name: kind for name, kind in sorted(found.items()) if issubclass(kind, wanted) and name in methods.__all__}


def _value(node: ast.expr, names: Mapping[str, type]) -> Any:
    if isinstance(node, ast.Call):
        return _called(node, names)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd):
        left, right = _value(node.left, names), _value(node.right, names)
        return _told(lambda: left & right)
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        kind = _class(node.value.id, names)
        if issubclass(kind, Enum) and node.attr in kind.__members__:
            return kind[node.attr]
        raise ValueError(f"has no {node.value.id}.{node.attr}")
    if isinstance(node, ast.Name):
        _class(node.id, names)
        raise ValueError(f"must call {node.id}: write {node.id}(...)")
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError) as error:  # the latter for a list as a key of a dict
        raise ValueError(f"may hold calls such as {_example(names)} and literals only") from error


def _called(node: ast.Call, names: Mapping[str, type]) -> Any:
    if not isinstance(node.func, ast.Name):
        raise ValueError(f"may hold calls such as {_example(names)} and literals only")
    kind = _class(node.func.id, names)
    if any(keyword.arg is None for keyword in node.keywords) or any(isinstance(a, ast.Starred) for a in node.args):
        raise ValueError("must not use * or **")
    arguments = [_value(argument, names) for argument in node.args]
    keywords = {str(keyword.arg): _value(keyword.value, names) for keyword in node.keywords}
    return _told(lambda: kind(*arguments, **keywords))


def _told(make: Callable[[], Any]) -> Any:
    """What `make` returns; a refusal becomes a sentence without a subject."""
    try:
        return make()
    except (SlrpruneError, TypeError) as error:
        raise ValueError(f"is refused: {str(error).rstrip('.')}") from error


def _class(name: str, names: Mapping[str, type]) -> type:
    if name not in names:
        near = suggestion(name, names, "; the closest is {}")
        raise ValueError(f"has no {name}: must be one of {', '.join(names)}{near}")
    return names[name]


def _example(names: Mapping[str, type]) -> str:
    return "NM(2, 4)" if "NM" in names else f"{next(iter(names))}()"
