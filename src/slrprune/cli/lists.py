"""Lists of numbers on a command line: `--sparsity 0.9 0.95`, `--sparsity 0.9,0.95`, or the option repeated."""

from collections.abc import Sequence
from typing import Any

from typer.core import TyperCommand, TyperOption

from slrprune.errors import ArgumentError


class NumbersCommand(TyperCommand):
    """A command whose repeatable options take several numbers after one another.

    Click's options take a fixed number of values. Where numbers follow the value of an option that may be repeated, the
    option is written in front of each of them before click reads the line; everything else is left as it is.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Click's, on the line written out in full."""
        options = [parameter for parameter in self.params if isinstance(parameter, TyperOption)]
        repeatable = [name for option in options if option.multiple for name in option.opts]
        return super().parse_args(ctx, written_out(args, repeatable))


def written_out(args: Sequence[str], options: Sequence[str]) -> list[str]:
    """`args` with the option repeated in front of every further number.

    Examples:
        >>> written_out(["digits", "--sparsity", "0.9", "0.95", "--seeds", "3"], ["--sparsity"])
        ['digits', '--sparsity', '0.9', '--sparsity', '0.95', '--seeds', '3']
    """
    found: list[str] = []
    open_option = ""
    for position, word in enumerate(args):
        if word in options:
            open_option = word
        elif open_option and args[position - 1] != open_option:
            if _is_numbers(word):
                found.append(open_option)
            else:
                open_option = ""
        found.append(word)
    return found


def numbers(owner: str, name: str, entries: Sequence[str]) -> tuple[float, ...]:
    """All numbers of the entries, each of which may hold several with commas between them.

    Raises:
        ArgumentError: something that is no number.

    Examples:
        >>> numbers("compare", "sparsity", ["0.9,0.95", "0.98"])
        (0.9, 0.95, 0.98)
    """
    words = [word.strip() for entry in entries for word in entry.split(",") if word.strip()]
    for word in words:
        if not _is_numbers(word):
            raise ArgumentError(owner, name, word, "must be a number, or several with commas between them")
    return tuple(dict.fromkeys(map(float, words)))


def _is_numbers(word: str) -> bool:
    try:
        return bool([float(part) for part in word.split(",") if part])
    except ValueError:
        return False
