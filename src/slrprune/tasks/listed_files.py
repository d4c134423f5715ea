"""Whether a file that a list names is there, whatever the name."""

from pathlib import Path


def is_there(file: Path) -> bool:
    """`file.is_file()`, and False for a name that the system cannot take, such as one that is too long."""
    try:
        return file.is_file()
    except (OSError, ValueError):
        return False


def has_content(file: Path) -> bool:
    """Whether it is there and not empty."""
    return is_there(file) and file.stat().st_size > 0
