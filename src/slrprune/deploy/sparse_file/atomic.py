"""A file appears complete or not at all."""

import contextlib
import os
import secrets
from pathlib import Path

from slrprune.deploy.sparse_file.errors import FileWriteError


def write_atomically(path: Path, content: bytes, where: str = "save_sparse") -> None:
    """Writes `content` to `path`: to a new file beside it, flushed to the disk, then renamed.

    A file that was there keeps its permissions; behind a symbolic link the file that it names is replaced.

    Args:
        path: the file.
        content: all of it.
        where: function that the user called, for the message.

    Raises:
        FileWriteError: a missing or read-only folder, a full disk, ...; what was at `path` is untouched.
    """
    try:
        _write(Path(os.path.realpath(path)), content)
    except OSError as error:
        way_out = "What was there before is untouched; choose a folder that exists, can be written and has room."
        failure = FileWriteError(f"{where}({str(path)!r})", f"cannot write: {error.strerror or error}", way_out)
        failure.errno = error.errno
        raise failure from error


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            temporary.chmod(path.stat().st_mode & 0o7777)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    if os.name == "posix":  # the rename itself reaches the disk with the folder
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
