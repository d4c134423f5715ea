"""The index: what each part of the data is, as JSON text in the file's metadata."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from slrprune.deploy.sparse_file.bits import packed_length
from slrprune.deploy.sparse_file.dtypes import DType, from_name
from slrprune.deploy.sparse_file.errors import InvalidError, integer
from slrprune.deploy.sparse_file.positions import Bitmask, Gaps, Positions
from slrprune.deploy.sparse_file.positions.gaps import MOST_LOW_BITS
from slrprune.deploy.sparse_file.values import MOST_BITS, PLAIN, column_lengths

VERSION = 1
_MOST_DIMENSIONS = 64
_MOST_WORDS = 1 << 48


@dataclass(frozen=True)
class Coding:
    """How a tensor with zeros is stored."""

    positions: Positions
    dim: int
    """The words are counted in row-major order of the shape in which this dimension comes last."""
    bits: int
    """Bits per value in the highest column; 8 for plain bytes."""
    base: int
    """What to add to each of them."""
    lengths: tuple[int, ...]
    """Stored bytes of each part: those of the positions, the columns (lowest bytes first), the minus signs if any."""
    has_minus: bool = False
    """Whether the last part is a mask of the entries that are -0.0."""


@dataclass(frozen=True)
class Row:
    """One tensor."""

    names: tuple[str, ...]
    """Several for a tensor that is shared under several names."""
    dtype: DType
    shape: tuple[int, ...]
    checksum: int
    """CRC-32 of its data."""
    coding: Coding | None = None
    """None for a tensor stored dense, as its plain bytes."""

    @property
    def name(self) -> str:
        """Its first name, short enough for a message."""
        return self.names[0][:80]

    @property
    def nbytes(self) -> int:
        """Bytes of the tensor in memory."""
        return prod(self.shape) * self.dtype.width

    @property
    def data_length(self) -> int:
        """Bytes in the file."""
        return self.nbytes if self.coding is None else sum(self.coding.lengths)


def to_text(rows: Sequence[Row]) -> str:
    """The index of these rows, ASCII only."""
    return json.dumps({"version": VERSION, "tensors": [_to_json(row) for row in rows]}, separators=(",", ":"))


def from_text(text: str) -> list[Row]:
    """The rows of an index, every number checked against every other.

    Raises:
        InvalidError: the text is no index of this version, or contradicts itself.
    """
    try:
        index = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidError(f"the index is not JSON ({error})") from error
    if not isinstance(index, dict) or not isinstance(index.get("tensors"), list):
        raise InvalidError("the index does not list any tensors")
    if type(index.get("version")) is not int or index["version"] != VERSION:
        raise InvalidError(f"the format has version {str(index.get('version'))[:20]}, this slrprune reads {VERSION}")
    rows = [_from_json(item) for item in index["tensors"]]
    names = [name for row in rows for name in row.names]
    if len(set(names)) != len(names):
        twice = next(name for position, name in enumerate(names) if name in names[:position])
        raise InvalidError(f"{twice[:80]!r} is listed twice")
    return rows


def _to_json(row: Row) -> list[object]:
    dense: list[object] = [row.names, row.dtype.name, row.shape, row.checksum]
    if row.coding is None:
        return dense
    positions, coding = row.coding.positions, row.coding
    low_bits = positions.low_bits if isinstance(positions, Gaps) else None
    return [*dense, positions.count, low_bits, coding.dim, coding.bits, coding.base, coding.lengths]


def _from_json(item: object) -> Row:
    if not isinstance(item, list) or len(item) not in (4, 10) or not _are_names(item[0]):
        raise InvalidError("an entry of the index is not a list of names and 3 or 9 further values")
    try:
        dtype, shape = from_name(item[1]), _shape(item[2])
        checksum = integer(item[3], "the checksum", 0, (1 << 32) - 1)
        coding = _coding(item[4:], dtype, shape) if len(item) > 4 else None
    except InvalidError as error:
        raise InvalidError(f"{item[0][0][:80]!r}: {error}") from error
    return Row(tuple(item[0]), dtype, shape, checksum, coding)


def _are_names(value: object) -> bool:
    return isinstance(value, list) and len(value) > 0 and all(isinstance(name, str) for name in value)


def _shape(value: object) -> tuple[int, ...]:
    if not isinstance(value, list) or len(value) > _MOST_DIMENSIONS:
        raise InvalidError(f"the shape must be a list of at most {_MOST_DIMENSIONS} integers")
    extent = 1
    for length in value:
        extent *= integer(length, "a length in the shape", 0, _MOST_WORDS) or 1  # strides must not overflow either
    if extent > _MOST_WORDS:
        raise InvalidError(f"the shape has more than {_MOST_WORDS} entries")
    return tuple(value)


def _coding(values: list[Any], dtype: DType, shape: tuple[int, ...]) -> Coding:
    size, width = prod(shape), dtype.width
    count = integer(values[0], "the number of values", 0, size)
    positions = Bitmask(size, count) if values[1] is None else _gaps(size, count, values[1])
    dim = integer(values[2], "the dimension", 0, len(shape) - 1)
    bits = PLAIN if values[3] == PLAIN else integer(values[3], "the number of bits", 0, MOST_BITS)
    base = integer(values[4], "the base", 0, 0 if bits == PLAIN else 255)
    most = [*positions.lengths, *column_lengths(count, width, bits), packed_length(size)]
    has_minus = isinstance(values[5], list) and len(values[5]) == len(most) and dtype.has_minus_zero
    if not isinstance(values[5], list) or len(values[5]) != len(most) - (not has_minus):
        raise InvalidError(f"the lengths must be a list of {len(most) - 1} integers")
    for length, bound in zip(values[5], most, strict=has_minus):
        integer(length, "the length of a part", 0, bound)
    if max(*positions.lengths, sum(values[5])) > size * width:
        raise InvalidError("the coded tensor is larger than the tensor itself")
    return Coding(positions, dim, bits, base, tuple(values[5]), has_minus)


def _gaps(size: int, count: int, value: object) -> Gaps:
    low_bits = integer(value, "the number of low bits", 0, MOST_LOW_BITS)
    if size % (1 << low_bits):
        raise InvalidError(f"{size} words cannot be cut into {1 << low_bits} at a time")
    return Gaps(size, count, low_bits)
