"""From the data of one row to a tensor: everything is checked before anything is written."""

import zlib
from dataclasses import dataclass

import numpy as np

from slrprune.deploy.sparse_file import native
from slrprune.deploy.sparse_file.bits import packed_length
from slrprune.deploy.sparse_file.deflate import inflate
from slrprune.deploy.sparse_file.errors import InvalidError
from slrprune.deploy.sparse_file.index import Coding, Row
from slrprune.deploy.sparse_file.positions import Indices
from slrprune.deploy.sparse_file.values import Values, decode_values
from slrprune.deploy.sparse_file.words import Bytes, Words

_BLOCK = 1 << 16
"""Words, a quarter of a MiB of float32."""


@dataclass(frozen=True)
class Dense:
    """A dense tensor that was checked."""

    row: Row
    words: Words

    def write(self, out: Words) -> None:
        """Writes the tensor into `out`, a vector of its words."""
        out[:] = self.words


@dataclass(frozen=True)
class Sparse:
    """A coded tensor whose parts are inflated and known to be right: writing it cannot fail."""

    row: Row
    coding: Coding
    parts: tuple[Bytes, ...]
    """What describes the positions."""
    values: Values
    minus: Bytes | None
    """A mask of the entries that are -0.0, if there are any."""

    def write(self, out: Words) -> None:
        """Writes the tensor into `out`, a vector of its words."""
        shape, dim = self.row.shape, self.coding.dim
        if dim == len(shape) - 1:
            self._write(out)
        else:
            flat = np.empty_like(out)
            self._write(flat)
            moved = np.moveaxis(out.reshape(shape), dim, -1)
            moved[...] = flat.reshape(moved.shape)
        if self.minus is not None:
            self._add_minus(out, self.minus)

    def _write(self, out: Words) -> None:
        if self._unpack(out):
            return
        filled = start = 0
        for first, offsets in self.coding.positions.chunks(self.parts):
            stop = start + len(offsets)
            filled = _scatter(out, first, offsets, self.values.words(start, stop), filled)
            start = stop
        out[filled:] = 0

    def _unpack(self, out: Words) -> bool:
        """All at once, where the compiled library is there."""
        low, low_bits = self.coding.positions.low(self.parts)
        return native.unpack(out, self.parts[0], low, low_bits, self.values.columns)

    @staticmethod
    def _add_minus(out: Words, minus: Bytes) -> None:
        for start in range(0, len(out), _BLOCK):
            block = out[start : start + _BLOCK]
            signs = np.unpackbits(minus[start // 8 :], count=len(block)).astype(out.dtype)
            signs <<= 8 * out.itemsize - 1
            block |= signs


def check(row: Row, data: memoryview) -> Dense | Sparse:
    """Checks the data of one tensor: the checksum, then what the parts hold.

    Args:
        row: its row in the index.
        data: its `row.data_length` bytes.

    Raises:
        InvalidError: the data is damaged.
    """
    if zlib.crc32(data) != row.checksum:
        raise InvalidError("the checksum does not match the data")
    checked: Dense | Sparse
    if row.coding is None:
        checked = Dense(row, np.frombuffer(data, f"<u{row.dtype.width}"))
    else:
        checked = _check_coded(row, row.coding, data)
    if row.dtype.name == "bool":
        entries = np.empty(row.nbytes, np.uint8)
        checked.write(entries)
        if entries.max(initial=0) > 1:
            raise InvalidError("a byte of a bool tensor is neither 0 nor 1")
    return checked


def _check_coded(row: Row, coding: Coding, data: memoryview) -> Sparse:
    stored, start = [], 0
    for length in coding.lengths:
        stored.append(data[start : start + length])
        start += length
    positions = coding.positions
    cut = len(positions.lengths)
    parts = tuple(inflate(part, length) for part, length in zip(stored[:cut], positions.lengths, strict=True))
    positions.check(parts)
    last = stored.pop() if coding.has_minus else memoryview(b"")
    values = decode_values(stored[cut:], positions.count, row.dtype.width, coding.bits, coding.base)
    minus = inflate(last, packed_length(positions.size)) if coding.has_minus else None
    return Sparse(row, coding, parts, values, minus)


def _scatter(out: Words, first: int, offsets: Indices, words: Words, filled: int) -> int:
    """Writes `words` to `out[first + offsets]`, after zeros everywhere up to there; returns where the zeros end.

    It goes block by block, so that the cache still holds the zeros when the values are written between them.
    """
    if not len(offsets):
        return filled
    place, begin = out[first:], 0
    blocks = np.arange(filled, min(out.size, first + int(offsets[-1]) + 1), _BLOCK)
    for block, end in zip(blocks.tolist(), np.searchsorted(offsets, blocks - first).tolist(), strict=True):
        place[offsets[begin:end]] = words[begin:end]
        out[block : block + _BLOCK] = 0
        begin, filled = end, block + _BLOCK
    place[offsets[begin:]] = words[begin:]
    return filled
