"""What can go wrong with the file itself."""

from slrprune.errors import DataError


class InvalidError(Exception):
    """Something in the file that the format does not allow; the caller adds the file and the tensor."""


class FileWriteError(DataError, OSError):
    """The file could not be written; a file that was there before is as it was."""


def integer(value: object, name: str, low: int, high: int) -> int:
    """`value` itself; raises `InvalidError` unless it is an int (not a bool) in [low, high]."""
    if type(value) is not int or not low <= value <= high:
        raise InvalidError(f"{name} must be an integer from {low} to {high}, got {_short(value)}")
    return value


def _short(value: object) -> str:
    """The value as text: a file may hold a number of thousands of digits, and Python refuses to print it."""
    if type(value) is int and value.bit_length() > 128:
        return f"a number of {value.bit_length()} bits"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
