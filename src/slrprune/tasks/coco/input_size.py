"""The size of a network's input as users write it."""

from collections.abc import Sequence

from slrprune.errors import ArgumentError


def input_size(owner: str, size: int | Sequence[int]) -> tuple[int, int]:
    """Height and width.

    Args:
        owner: for the message.
        size: one number for both, or the two of them.

    Raises:
        ArgumentError: something else, or numbers that are not positive.
    """
    sides = (size, size) if isinstance(size, int) else tuple(size)
    if len(sides) != 2 or not all(isinstance(side, int) and side >= 1 for side in sides):
        raise ArgumentError(owner, "size", size, "must be a positive whole number, or two of them, height and width")
    return sides[0], sides[1]
