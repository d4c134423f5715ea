"""--rule on the command line: a pattern and its set, written as in a configuration."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from slrprune.errors import ArgumentError, UsageError

if TYPE_CHECKING:
    from torch import nn

    from slrprune.sets import ConstraintSet

RULE_HELP = (
    "pattern=SET, as in 'layer1.*=NM(2, 4)', or pattern=null for what stays dense; repeat, the first match wins."
)
_DENSE = "null"


def read_rules(entries: Sequence[str], verb: str) -> "dict[str | type[nn.Module], ConstraintSet | None]":
    """Rules in their order.

    Args:
        entries: each `pattern=SET`; the pattern may itself hold an equals sign, as a regular expression can.
        verb: for messages.

    Raises:
        ArgumentError: an entry without a pattern or without a set, or a set that cannot be read.
        UsageError: a pattern that is there twice.
    """
    rules: dict[str | type[nn.Module], ConstraintSet | None] = {}
    for entry in entries:
        pattern, constraint = _read(entry, verb)
        if pattern in rules:
            raise UsageError(verb, f"there are two rules for {pattern!r}", "The first would win; leave one out.")
        rules[pattern] = constraint
    return rules


def _read(entry: str, verb: str) -> "tuple[str, ConstraintSet | None]":
    places = [place for place, letter in enumerate(entry) if letter == "=" and place]
    readings = [(entry[:place], _parsed(entry[place + 1 :].strip())) for place in places]
    for pattern, found in readings:
        if not isinstance(found, ValueError):
            return pattern, found
    problems = [f"has a set that {found}" for _, found in readings]
    # What reads as an expression but is refused says more than what does not, behind some other equals sign.
    told = [problem for problem in problems if "is not an expression" not in problem] or problems
    raise ArgumentError(verb, "rule", entry, told[0] if told else "must have the form pattern=SET")


def _parsed(text: str) -> "ConstraintSet | ValueError | None":
    """The set, None for what stays dense, or what is wrong: a sentence that lacks its subject."""
    from slrprune.config.expressions import parse, set_names
    from slrprune.sets import ConstraintSet

    if text == _DENSE:
        return None
    try:
        found = parse(text, set_names())
    except ValueError as error:
        return error
    return found if isinstance(found, ConstraintSet) else ValueError("must be written as NM(2, 4), or null")
