"""Where a task's data lie."""

import os
from os import PathLike
from pathlib import Path

from slrprune.errors import DataError

VARIABLE = "SLRPRUNE_DATA"
"""Environment variable that names the data folder where no argument does."""


def data_folder(owner: str, data: str | PathLike[str] | None) -> Path:
    """The folder itself.

    Args:
        owner: for messages.
        data: the folder; None takes the environment variable.

    Raises:
        DataError: no folder is named, or it does not exist.
    """
    chosen = os.environ.get(VARIABLE) if data is None else data
    if not chosen:
        way_out = f"Give data=FOLDER, or set the environment variable {VARIABLE}."
        raise DataError(owner, "no data folder is known", way_out)
    folder = Path(chosen)
    if not folder.is_dir():
        raise DataError(owner, f"there is no folder {folder}")
    return folder
