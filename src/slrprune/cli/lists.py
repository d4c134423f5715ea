"""What a list on a command line holds: numbers or names, with spaces or commas between them."""

from collections.abc import Sequence

from slrprune.cli.words import is_numbers
from slrprune.errors import ArgumentError


def numbers(owner: str, name: str, entries: Sequence[str]) -> tuple[float, ...]:
    """All numbers of the entries, each of which may hold several with commas between them.

    Raises:
        ArgumentError: something that is no number.

    Examples:
        >>> numbers("compare", "sparsity", ["0.9,0.95", "0.98"])
        (0.9, 0.95, 0.98)
    """
    words = names(entries)
    for word in words:
        if not is_numbers(word):
            raise ArgumentError(owner, name, word, "must be a number, or several with commas between them")
    return tuple(dict.fromkeys(map(float, words)))


def names(entries: Sequence[str]) -> tuple[str, ...]:
    """All names of the entries, each of which may hold several with commas between them, in their order.

    Examples:
        >>> names(["slr, dpf", "dense"])
        ('slr', 'dpf', 'dense')
    """
    return tuple(word.strip() for entry in entries for word in entry.split(",") if word.strip())
