"""JSON files of a run, with the version that they must have."""

import json
from pathlib import Path
from typing import Any

from slrprune.errors import DataError, StateError

VERSION = 1
"""Of summary.json, layers.json, histograms.json, and of the records of a comparison."""


def read_object(path: Path) -> dict[str, Any] | None:
    """The object in a file; None where there is no such file.

    Raises:
        DataError: the file holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise DataError(str(path), f"cannot be read as JSON ({error})", "Move it away to do without it.") from error
    if not isinstance(content, dict):
        raise DataError(str(path), "must hold a JSON object", "Move it away to do without it.")
    return content


def read_versioned(path: Path) -> dict[str, Any] | None:
    """As `read_object`, with a check of the version.

    Raises:
        DataError: the file holds something else.
        StateError: it is of another version.
    """
    content = read_object(path)
    if content is not None and content.get("version") != VERSION:
        found = content.get("version", "none")
        problem = f"has version {found!r}, and this program reads version {VERSION}"
        raise StateError(str(path), problem, "Make the report with the slrprune that wrote it, or with a newer one.")
    return content
