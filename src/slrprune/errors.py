"""Errors that build their own sentence: where it happened, the rule, the value received, the way out.

Every error the library raises on purpose derives from `SlrpruneError`, and from the built-in class that a caller
would expect (`ValueError`, `RuntimeError`, ...), so that `except ValueError` keeps working.
"""

from collections.abc import Iterable
from difflib import SequenceMatcher


class SlrpruneError(Exception):
    """Base class of all errors raised by slrprune."""


class ArgumentError(SlrpruneError, ValueError):
    """An argument outside its range.

    Args:
        owner: class or function that received it, as the user wrote it.
        argument: name of the argument.
        value: what was received.
        rule: what it must be, continuing "argument ...", for example "must be in [0, 1)".
        way_out: optional sentence that says what to write instead.
    """

    def __init__(self, owner: str, argument: str, value: object, rule: str, way_out: str = "") -> None:
        super().__init__(_sentence(f"{owner}({argument}={value!r}): {argument} {rule}", way_out))


class ShapeError(SlrpruneError, ValueError):
    """A tensor whose shape a set cannot take.

    Args:
        name: name of the parameter, or "weight" outside a model.
        rule: the set and its rule, for example "NM(2, 4) needs shape[1] divisible by 4".
        shape: the shape received.
        way_out: what to do about it.
    """

    def __init__(self, name: str, rule: str, shape: Iterable[int], way_out: str = "") -> None:
        super().__init__(_sentence(f"{name}: {rule}, got shape {tuple(shape)}", way_out))


class NonFiniteError(SlrpruneError, ArithmeticError):
    """NaN or infinity where finite numbers are needed; the pruner's state is the last good one."""

    def __init__(self, where: str, what: str, way_out: str = "") -> None:
        super().__init__(_sentence(f"{where}: {what} is not finite", way_out))


class RuleError(SlrpruneError, ValueError):
    """A rule that matches nothing, can never match, or selects what cannot be pruned."""

    def __init__(self, where: str, problem: str, way_out: str = "") -> None:
        super().__init__(_sentence(f"{where}: {problem}", way_out))


class StateError(SlrpruneError, ValueError):
    """A state that does not belong to this model, method or version."""

    def __init__(self, where: str, problem: str, way_out: str = "") -> None:
        super().__init__(_sentence(f"{where}: {problem}", way_out))


class RankError(SlrpruneError, RuntimeError):
    """Processes that train together and must agree, but do not."""

    def __init__(self, where: str, problem: str, way_out: str = "") -> None:
        super().__init__(_sentence(f"{where}: {problem}", way_out))


class UsageError(SlrpruneError, RuntimeError):
    """A call at the wrong moment, or on an object that it does not fit."""

    def __init__(self, where: str, problem: str, way_out: str = "") -> None:
        super().__init__(_sentence(f"{where}: {problem}", way_out))


class DataError(SlrpruneError, ValueError):
    """Data that is missing, truncated or in another format."""

    def __init__(self, where: str, problem: str, way_out: str = "") -> None:
        super().__init__(_sentence(f"{where}: {problem}", way_out))


class MissingExtraError(SlrpruneError, ImportError):
    """A package of an optional extra is not installed."""

    def __init__(self, feature: str, package: str, extra: str) -> None:
        super().__init__(f"{feature} needs {package}. Install it with: pip install 'slrprune[{extra}]'.")


class BrokenPackageError(SlrpruneError, ImportError):
    """A package is installed and cannot be imported."""

    def __init__(self, feature: str, package: str, reason: str, way_out: str = "") -> None:
        problem = f"{feature} needs {package}, which is installed and cannot be imported ({reason})"
        super().__init__(_sentence(problem, way_out))


def closest(word: str, choices: Iterable[str], count: int = 3) -> list[str]:
    """The `count` entries of `choices` that look most like `word`, in capitals or not, best first; near or not."""
    return sorted(choices, key=lambda choice: _likeness(word, choice), reverse=True)[:count]


def suggestion(word: str, choices: Iterable[str], form: str = "The closest is {!r}.") -> str:
    """`form` with the entry of `choices` that is near `word` in its braces; empty where none is.

    A name that has nothing in common with what was written misleads: who asked for "nope" did not mean "one_shot".

    Examples:
        >>> suggestion("LAMP", ["uniform", "lamp"]), suggestion("nope", ["slr", "one_shot"])
        ("The closest is 'lamp'.", '')
    """
    near = [choice for choice in choices if _is_near(word.casefold(), choice.casefold())]
    return form.format(closest(word, near, 1)[0]) if near else ""


def _likeness(word: str, choice: str) -> float:
    return SequenceMatcher(None, choice.casefold(), word.casefold()).ratio()


def _is_near(word: str, choice: str) -> bool:
    """Most of the letters are the same, or one begins with the other, as "fcn" and "fcn_resnet50" do."""
    begins = min(len(word), len(choice)) >= 3 and (word.startswith(choice) or choice.startswith(word))
    return begins or _likeness(word, choice) >= 0.6  # difflib's own measure


def _sentence(problem: str, way_out: str) -> str:
    return f"{problem}. {way_out}".strip() if way_out else f"{problem}."
