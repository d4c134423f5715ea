"""Whether a value that was read from JSON is of the kind that a field's annotation asks for."""

from collections.abc import Mapping
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from slrprune.tasks.json_number import is_number


def fits(value: Any, kind: Any) -> bool:
    """Whether `value` is what JSON gives for `kind`.

    Args:
        value: read from JSON.
        kind: an annotation of str, bool, int, float, None, Any, enums of strings, and of unions, tuples and mappings of
            these. A truth value is no number, a whole number is a float unless it is
            beyond all floats, NaN and infinity are not.

    Examples:
        >>> fits(3, float | None), fits(True, int), fits([[1, 2.5]], tuple[tuple[int, float], ...])
        (True, False, True)
    """
    origin, parts = get_origin(kind), get_args(kind)
    if kind is Any:
        return True
    if origin in (Union, UnionType):
        return any(fits(value, part) for part in parts)
    if origin is tuple:
        if not isinstance(value, list):
            return False
        wanted = [parts[0]] * len(value) if parts[1:] == (...,) else parts
        return len(value) == len(wanted) and all(map(fits, value, wanted))
    if origin is Mapping:
        return isinstance(value, dict) and all(fits(entry, parts[1]) for entry in value.values())
    if kind is float:
        return is_number(value)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return value in [member.value for member in kind]
    return type(value) is (NoneType if kind is None else kind)
