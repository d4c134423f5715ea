"""Writing a finished file, with the errors of the file system in one sentence."""

from pathlib import Path

from slrprune.atomic import write_atomically
from slrprune.deploy.sparse_file.errors import FileWriteError


def write_file(path: Path, content: bytes, where: str = "save_sparse") -> None:
    """Writes `content` to `path`, completely or not at all.

    Args:
        path: the file.
        content: all of it.
        where: function that the user called, for the message.

    Raises:
        FileWriteError: a missing or read-only folder, a full disk, ...; what was at `path` is untouched.
    """
    try:
        write_atomically(path, lambda partial: partial.write_bytes(content))
    except OSError as error:
        way_out = "What was there before is untouched; choose a folder that exists, can be written and has room."
        failure = FileWriteError(f"{where}({str(path)!r})", f"cannot write: {error.strerror or error}", way_out)
        failure.errno = error.errno
        raise failure from error
