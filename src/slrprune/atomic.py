"""Files that are there completely or not at all."""

import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Lets `write` fill a new file beside `path`, and moves it to `path` once it is safely on the disk.

    A process killed at any moment leaves the old file or the new one, and two processes may write the same path. A file
    that was there keeps its permissions; behind a symbolic link the file that it names is replaced.

    Args:
        path: the file.
        write: is given the path of the new file, which does not exist yet.

    Raises:
        OSError: a missing or read-only folder, a full disk, ...; like any error of `write`, it leaves what was at
            `path` untouched and nothing beside it.
    """
    path = Path(os.path.realpath(path))
    partial = path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}.partial")
    try:
        write(partial)
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        if path.exists():
            partial.chmod(path.stat().st_mode & 0o7777)
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Makes the new name itself durable, where the system can."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
