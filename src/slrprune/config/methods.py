"""The fields `method` and `method_options` of a configuration."""

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from pydantic_core import PydanticCustomError

from slrprune.config.expressions import parse, schedule_names
from slrprune.errors import ArgumentError, SlrpruneError, suggestion

if TYPE_CHECKING:
    from slrprune.methods import Method

METHOD_NAMES = (
    *("slr", "dpf", "classic_slr", "classic_slr_ramp", "classic_slr_leak", "admm", "admm_ramp", "admm_leak"),
    *("quadratic_penalty", "gradual_magnitude", "one_shot"),
)
"""Those of `slrprune.methods.named`, written out so that the schema needs no torch; a test compares the two."""


def build_method(name: str, options: dict[str, Any]) -> "Method":
    """The method of this name with some of its fields set.

    Args:
        name: one of `METHOD_NAMES`.
        options: fields by name; text in the form of a call, `CubicRamp(end=0.3)`, is parsed.

    Raises:
        SlrpruneError: whatever the method's class raises.
        ValueError: text that cannot be parsed.

    Examples:
        >>> build_method("slr", {"interval": 5, "ramp": "CubicRamp(end=0.3)"}).interval
        5
    """
    from slrprune.methods.named import NAMED_METHODS

    return replace(NAMED_METHODS[name].method, **{key: _parsed(value) for key, value in options.items()})


def check_method_options(options: dict[str, Any], name: str | None) -> dict[str, Any]:
    """`options` themselves; a field that the method does not have, or a value that it refuses, is an error.

    Args:
        options: as in `build_method`.
        name: None where the name itself is wrong; nothing is checked then.
    """
    from slrprune.methods.named import NAMED_METHODS

    if name is None or not options:
        return options
    method = NAMED_METHODS[name].method
    known = [entry.name for entry in fields(method)]
    problems: list[tuple[str, Any, str]] = []
    parsed: dict[str, Any] = {}
    for key, value in options.items():
        if key not in known:
            near = suggestion(key, known, "; the closest is {}")
            rule = f"is no setting of {name}, which has {', '.join(known)}{near}"
            problems.append((key, value, rule))
            continue
        try:
            parsed[key] = _parsed(value)
            replace(method, **{key: parsed[key]})
        except (SlrpruneError, ValueError, TypeError) as error:
            problems.append((key, value, _rule(error)))
    if not problems:
        try:
            replace(method, **parsed)
        except (SlrpruneError, TypeError) as error:
            problems.append(("", options, _rule(error)))
    if problems:
        raise PydanticCustomError("several", "{count} problems", {"count": len(problems), "problems": problems})
    return options


def _parsed(value: Any) -> Any:
    return parse(value, schedule_names()) if isinstance(value, str) else value


def _rule(error: Exception) -> str:
    """What is left of an error's sentence once the field has been named."""
    text = str(error).rstrip(".")
    return text.partition(": ")[2] if isinstance(error, ArgumentError) else text
