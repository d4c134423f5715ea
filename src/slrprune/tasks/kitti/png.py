"""The size of a PNG image from its first bytes, so that a laser detector needs no image library."""

import struct
from pathlib import Path

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_END = b"IEND\xaeB`\x82"
"""Type and checksum of the last chunk: a file without it was cut off."""


def png_size(file: Path) -> tuple[int, int] | None:
    """Width and height in pixels; None where the file is no PNG image, or its end is missing."""
    try:
        with file.open("rb") as stream:
            head = stream.read(24)
            stream.seek(-min(len(_END), len(head)), 2)
            end = stream.read()
    except OSError:
        return None
    if len(head) < 24 or head[:8] != _SIGNATURE or head[12:16] != b"IHDR" or end != _END:
        return None
    width, height = struct.unpack(">II", head[16:24])
    return (width, height) if width and height else None
