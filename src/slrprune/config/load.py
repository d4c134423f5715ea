"""Reads configurations from files and flags, and reports every mistake at once."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from slrprune.config.model import SETS_WITH_LEVEL, SETS_WITHOUT_LEVEL, RunConfig
from slrprune.config.problems import ConfigError, Problem
from slrprune.config.translate import problems_of
from slrprune.config.yaml_file import Lines, read_yaml
from slrprune.errors import DataError, suggestion


def load_config(path: Path, overrides: Sequence[str] = (), **settings: Any) -> RunConfig:
    """The configuration in a YAML file.

    Args:
        path: the file.
        overrides: `key=value` each, which replace what the file says; keys may be dotted, values are YAML.
        settings: further fields, which replace both; None is left out.

    Raises:
        ConfigError: mistakes, all of them, with their lines.
        DataError: the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        way_out = "Name a YAML file, such as the config.yaml in the folder of a run."
        raise DataError(str(path), f"the configuration cannot be read ({reason})", way_out) from error
    except UnicodeDecodeError as error:
        raise DataError(str(path), f"the configuration cannot be read ({error})", "Save it as UTF-8.") from error
    content, lines = read_yaml(text)
    return _checked(content, lines, str(path), overrides, settings)


def make_config(overrides: Sequence[str] = (), **settings: Any) -> RunConfig:
    """A configuration without a file; arguments as in `load_config`.

    Examples:
        >>> make_config(["checkpoint.every=5"], task="digits", epochs=3).checkpoint.every
        5
    """
    return _checked({}, Lines(), "the configuration", overrides, settings)


def dump_config(config: RunConfig) -> str:
    """As YAML, every field spelled out; `load_config` reads the same again."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def schema() -> dict[str, Any]:
    """JSON schema of the configuration, for editors and other programs."""
    return RunConfig.model_json_schema()


def _checked(
    content: Mapping[str, Any], lines: Lines, where: str, overrides: Sequence[str], settings: Mapping[str, Any]
) -> RunConfig:
    values: dict[str, Any] = dict(content)
    problems = list(lines.problems)
    for entry in overrides:
        _override(values, entry, lines, problems)
    for name, value in settings.items():
        if value is not None:
            values[name] = value
            lines.of.pop((name,), None)
    if not content and problems:  # the file could not be read: nothing that it lacks is worth a word
        raise ConfigError(where, problems)
    try:
        config = RunConfig.model_validate(values)
    except ValidationError as error:
        problems += problems_of(error, lines)
    if problems:
        order = sorted(problems, key=lambda problem: (problem.line is None, problem.line or 0))
        raise ConfigError(where, order)
    return config


def _override(values: dict[str, Any], entry: str, lines: Lines, problems: list[Problem]) -> None:
    """Writes one `key=value` into `values`."""
    name, equals, text = entry.partition("=")
    if not equals or not name:
        # Other verbs take a set's name there.
        sets = (*SETS_WITH_LEVEL, *SETS_WITHOUT_LEVEL)
        way_out = suggestion(entry, sets, "; the set {0} is --set set={0}") or ", as in --set set=filters"
        problems.append(Problem("--set", None, repr(entry), f"must have the form key=value{way_out}"))
        return
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        value = text
    *outer, last = name.split(".")
    here = values
    for key in outer:
        inner = here.get(key)
        here[key] = dict(inner) if isinstance(inner, Mapping) else {}
        here = here[key]
    here[last] = value
    path = tuple(name.split("."))
    for known in [known for known in lines.of if known[: len(path)] == path]:
        del lines.of[known]
