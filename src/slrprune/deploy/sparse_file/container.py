"""The safetensors file around it all: one tensor of bytes, `data`, and one entry of metadata, the index."""

import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from slrprune.deploy.sparse_file.errors import InvalidError
from slrprune.deploy.sparse_file.index import Row, from_text, to_text

KEY = "slrprune_sparse"
"""The only key of the metadata: safetensors writes several in random order, and equal models shall give equal files."""
_DATA = "data"
_CHECKSUM = 4
"""Bytes of the checksum of the index, a CRC-32, which ends the data."""
_HEADER_ROOM = 1 << 20
_MOST_HEADER = 100_000_000
"""The longest header that safetensors reads."""


def to_bytes(rows: Sequence[Row], data: Sequence[bytes]) -> bytes:
    """The whole file."""
    text = to_text(rows)
    content = np.frombuffer(b"".join([*data, _checksum(text)]), np.uint8)
    return save({_DATA: content}, {KEY: text})


class Container:
    """An open file, read in two steps: the index first, so that what it asks for can be refused."""

    def __init__(self, file: Any) -> None:
        """Reads the index of a file that `safe_open` opened."""
        self._file = file
        self._text: str = (file.metadata() or {}).get(KEY, "")
        if not self._text or list(file.keys()) != [_DATA]:
            raise InvalidError("it is a safetensors file, but not one that save_sparse wrote")
        self.rows = from_text(self._text)
        view = file.get_slice(_DATA)
        length = sum(row.data_length for row in self.rows) + _CHECKSUM
        if view.get_dtype() != "U8" or view.get_shape() != [length]:
            found = f"{view.get_dtype()} of shape {view.get_shape()}"
            raise InvalidError(f"the data is {found}, the index describes {length} bytes")

    def read(self) -> memoryview:
        """The data of all tensors, in the order of the rows, after the checksum of the index."""
        data = memoryview(self._file.get_tensor(_DATA).numpy())  # not a copy: the file stays mapped while it is used
        if data[-_CHECKSUM:] != _checksum(self._text):
            raise InvalidError("the checksum does not match the index")
        return data


@contextmanager
def opened(path: Path, limit: int) -> Iterator[Container]:
    """Opens a file and reads its index.

    Args:
        path: the file.
        limit: bytes of tensors that the caller will accept; a header may have an eighth of it, and 1 MiB.

    Raises:
        InvalidError: the file is no sparse file, or its index is wrong.
        OSError: the file cannot be read.
    """
    header, most = _header_length(path), min(_MOST_HEADER, _HEADER_ROOM + limit // 8)
    if header > most:
        raise InvalidError(f"the header claims {header} bytes, at most {most} are accepted")
    try:
        with safe_open(path, framework="pt") as file:
            yield Container(file)
    except SafetensorError as error:
        raise InvalidError(f"it is not a safetensors file ({error})") from error


def _header_length(path: Path) -> int:
    with path.open("rb") as file:
        first = file.read(8)
        size = os.fstat(file.fileno()).st_size
    length = int.from_bytes(first, "little")
    if len(first) < 8 or length + 8 > size:
        raise InvalidError(f"it is not a safetensors file, or its end is missing: it has {size} bytes")
    return length


def _checksum(text: str) -> bytes:
    return zlib.crc32(text.encode()).to_bytes(_CHECKSUM, "little")
