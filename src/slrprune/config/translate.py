"""Pydantic's errors in our words: the field, its line, the value, what is allowed."""

import types
from collections.abc import Iterator
from typing import Annotated, Any, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from slrprune.config.model import RunConfig
from slrprune.config.problems import Problem
from slrprune.config.yaml_file import Lines
from slrprune.errors import suggestion

_KINDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


def problems_of(error: ValidationError, lines: Lines) -> list[Problem]:
    """One problem per mistake, in pydantic's order."""
    return [problem for entry in error.errors() for problem in _translated(entry, lines)]


def _translated(entry: Any, lines: Lines) -> Iterator[Problem]:
    path = _own_path(entry["loc"])
    if entry["type"] == "several":
        for key, got, rule in entry["ctx"]["problems"]:
            inner = (*path, key) if key else path
            yield _problem(inner, lines, _shown(got), rule)
        return
    if entry["type"] == "missing":
        yield Problem(_joined(path), None, None, f"is missing; it must be {_allowed(path)}")
        return
    got = _shown(entry["input"])
    if entry["type"] == "extra_forbidden":
        known = list(_model_at(path[:-1]).model_fields)
        near = suggestion(str(path[-1]), known, "; the closest is {}")
        yield _problem(path, lines, got, f"is no field{near}; there are {', '.join(known)}")
    elif entry["type"] in ("beside_rules", "level_owned", "no_budget", "task_wanted", "unknown_task"):
        yield _problem(path, lines, got, entry["msg"])
    elif entry["type"] == "literal_error" and isinstance(entry["input"], str):
        choices = [choice for choice in _choices(path) if choice]
        near = suggestion(entry["input"], choices, "; the closest is {}")
        yield _problem(path, lines, got, f"must be {_allowed(path)}{near}")
    else:
        yield _problem(path, lines, got, f"must be {_allowed(path)}")


def _problem(path: tuple[str | int, ...], lines: Lines, got: str, rule: str) -> Problem:
    return Problem(_joined(path), lines.near(path), got, rule)


def _own_path(loc: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """Without what pydantic adds for members of unions and for keys of dicts."""
    return tuple(part for part in loc if part != "[key]" and not (isinstance(part, str) and "literal[" in part))


def _joined(path: tuple[str | int, ...]) -> str:
    return ".".join(map(str, path))


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _model_at(path: tuple[str | int, ...]) -> type[BaseModel]:
    """The part of the configuration at a path."""
    model: type[BaseModel] = RunConfig
    for part in path:
        inner = [kind for kind in _members(model.model_fields[str(part)].annotation) if _is_model(kind)]
        model = inner[0]
    return model


def _allowed(path: tuple[str | int, ...]) -> str:
    """What a field may hold, in words."""
    model: type[BaseModel] = RunConfig
    for depth, part in enumerate(path):
        field = model.model_fields.get(str(part))
        if field is None:
            return "a value that the field takes"
        members = _members(field.annotation)
        parts = [kind for kind in members if _is_model(kind)]
        if parts and depth + 1 < len(path):
            model = parts[0]
            continue
        texts = [_in_words(kind, field.metadata) for kind in members if kind is not types.NoneType]
        return " or ".join([*dict.fromkeys(texts), *(["null"] if types.NoneType in members else [])])
    return "a mapping of fields"


def _choices(path: tuple[str | int, ...]) -> list[str]:
    """The words that a field may hold."""
    members = _members(_model_at(path[:-1]).model_fields[str(path[-1])].annotation)
    return [str(choice) for kind in members for choice in get_args(_plain(kind)[0])]


def _members(annotation: Any) -> tuple[Any, ...]:
    """The kinds in a union."""
    if get_origin(annotation) in (Union, types.UnionType):
        return tuple(member for part in get_args(annotation) for member in _members(part))
    return (annotation,)


def _in_words(kind: Any, metadata: list[Any]) -> str:
    plain, notes = _plain(kind)
    if _is_model(plain):
        return f"a mapping with {', '.join(plain.model_fields)}"
    origin = get_origin(plain)
    if origin is dict:
        return "a mapping"
    if origin is not None:  # Literal
        return f"one of {', '.join(map(str, get_args(plain)))}"
    words = _KINDS.get(plain, "a value that the field takes")
    interval = _interval([*metadata, *notes])
    return f"{words} {interval}" if interval else words


def _plain(kind: Any) -> tuple[Any, list[Any]]:
    """A kind without its annotations, and these."""
    if get_origin(kind) is Annotated:
        inner, *notes = get_args(kind)
        return inner, [
            note for entry in notes for note in (entry.metadata if isinstance(entry, FieldInfo) else [entry])
        ]
    return kind, []


def _interval(metadata: list[Any]) -> str:
    """The bounds of a field as an interval such as "in [0, 1)"; empty where it has none."""
    low: str | None = None
    high: str | None = None
    for note in metadata:
        if isinstance(note, annotated_types.Ge):
            low = f"[{note.ge}"
        elif isinstance(note, annotated_types.Gt):
            low = f"({note.gt}"
        elif isinstance(note, annotated_types.Le):
            high = f"{note.le}]"
        elif isinstance(note, annotated_types.Lt):
            high = f"{note.lt})"
    if low is None and high is None:
        return ""
    if high is None and low is not None:
        return f"of at least {low[1:]}" if low[0] == "[" else f"larger than {low[1:]}"
    return f"in {low or '(-inf'}, {high}"


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
