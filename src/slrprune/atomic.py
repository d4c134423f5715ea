"""Files that are there completely or not at all."""

import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from slrprune.durable import sync_folder


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
    sync_folder(path.parent)
