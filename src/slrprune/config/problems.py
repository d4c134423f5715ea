"""What is wrong with a configuration: all of it, each with its line, its field and what is allowed."""

from collections.abc import Sequence
from dataclasses import dataclass

from slrprune.errors import SlrpruneError


@dataclass(frozen=True)
class Problem:
    """One mistake.

    Attributes:
        field: dotted path, for example "distil.weight".
        line: of the file, 1-based; None for a value that came from elsewhere, for example from `--set`.
        got: the value as text; None where there is none.
        rule: what is allowed, continuing the field's name, for example "must be in [0, 1)".
    """

    field: str
    line: int | None
    got: str | None
    rule: str

    def __str__(self) -> str:
        where = "" if self.line is None else f"line {self.line}: "
        got = "" if self.got is None else f" = {self.got}"
        return f"{where}{self.field}{got}: {self.rule}"


class ConfigError(SlrpruneError, ValueError):
    """A configuration with mistakes.

    Attributes:
        problems: all of them, in the order of the file.
    """

    def __init__(self, where: str, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        count = f"{len(problems)} mistakes" if len(problems) > 1 else "1 mistake"
        super().__init__("\n".join([f"{where}: {count}.", *(f"  {problem}." for problem in problems)]))
