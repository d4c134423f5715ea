"""Loading with transformers, whatever is wrong with the files."""

from collections.abc import Callable
from os import PathLike
from typing import Any

from slrprune.errors import DataError


def loaded(owner: str, load: Callable[[str], Any], where: str | PathLike[str], way_out: str = "") -> Any:
    """What a `from_pretrained` of transformers makes of a folder, or of a name on the hub.

    Args:
        owner: the task, for the message.
        load: the `from_pretrained`.
        where: the folder or name.
        way_out: ends the message.

    Raises:
        DataError: it cannot be loaded; the message begins its reason with the first line of what was raised.
    """
    try:
        return load(str(where))
    # Damaged files raise nearly anything: SafetensorError, UnpicklingError, RuntimeError for other shapes, and for a
    # tokenizer Exception itself.
    except Exception as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise DataError(owner, f"transformers cannot load {str(where)!r} ({first})", way_out) from error
