"""Files and folders that reach the disk before anyone relies on them."""

import os
from pathlib import Path


def write_synced(path: Path, content: bytes) -> None:
    """Writes a new file and waits until it is on the disk.

    Raises:
        OSError: a full disk, for example.
    """
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Makes names in a folder durable, where the system can."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
