"""YAML with line numbers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from slrprune.config.problems import Problem

Path_ = tuple[str | int, ...]


@dataclass
class Lines:
    """Where in a file things stand.

    Attributes:
        of: line of every key and list entry, 1-based, by its path.
        problems: what is wrong with the file as YAML: its syntax, or a key that is there twice.
    """

    of: dict[Path_, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def near(self, path: Path_) -> int | None:
        """The line of the path, or of what encloses it; None where the file does not have it at all."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.of:
                return self.of[path[:end]]
        return None


def read_yaml(text: str) -> tuple[dict[str, Any], Lines]:
    """The mapping in a YAML file, and its lines; what cannot be read is a problem of the lines."""
    lines = Lines()
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is not None:
            _walk(node, (), lines)
        content = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = None if error.problem_mark is None else error.problem_mark.line + 1
        lines.problems.append(Problem("the file", line, None, f"must be YAML ({error.problem})"))
        return {}, lines
    except yaml.YAMLError as error:
        lines.problems.append(Problem("the file", None, None, f"must be YAML ({' '.join(str(error).split())})"))
        return {}, lines
    if content is None:
        return {}, lines
    if not isinstance(content, Mapping):
        kind = type(content).__name__
        lines.problems.append(Problem("the file", 1, kind, "must hold a mapping, lines such as task: digits"))
        return {}, lines
    return {str(key): value for key, value in content.items()}, lines


def _walk(node: yaml.Node, path: Path_, lines: Lines) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*path, str(key.value))
            line = key.start_mark.line + 1
            if here in lines.of:
                name = ".".join(map(str, here))
                lines.problems.append(
                    Problem(name, line, None, f"must be there once, line {lines.of[here]} has it too")
                )
            lines.of[here] = line
            _walk(value, here, lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, entry in enumerate(node.value):
            here = (*path, index)
            lines.of[here] = entry.start_mark.line + 1
            _walk(entry, here, lines)
