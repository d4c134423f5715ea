"""From a tensor to the parts of the file: which coding, and why."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from slrprune.deploy.sparse_file.deflate import deflate
from slrprune.deploy.sparse_file.dtypes import DType
from slrprune.deploy.sparse_file.index import Coding, Row
from slrprune.deploy.sparse_file.positions import Bitmask, Gaps, Indices, Positions
from slrprune.deploy.sparse_file.values import encode_values
from slrprune.deploy.sparse_file.words import Words

_TOLERANCE = 1.03
"""Among the codings that make the tensor at most 3% larger than the smallest does, the fastest to read is taken."""
_WORTH_IT = 0.65
"""A tensor stays dense, and as fast to load as it was, unless coding saves 35% of it."""
_SMALLEST_SAVING = 128
"""Bytes to save, at the least: a coding takes room in the index too."""
_INFLATE_COST = 4.5
"""Nanoseconds per inflated byte, measured like the `read_cost` of the codings on one Xeon at 2.5 GHz."""
_MOVE_COST = 3.0
"""Nanoseconds per word whose dimension is not the last."""


@dataclass(frozen=True)
class _Option:
    """One way to store the positions."""

    positions: Positions
    dim: int
    parts: tuple[bytes, ...]
    read_cost: float

    @property
    def nbytes(self) -> int:
        return sum(map(len, self.parts))


def encode(names: Sequence[str], words: Words, shape: Sequence[int], dtype: DType) -> tuple[Row, bytes]:
    """Codes one tensor.

    Args:
        names: its names.
        words: as `words_of` gives them.
        shape: its logical shape.
        dtype: its dtype.

    Returns:
        The row of the index, and the data.
    """
    coding, data = None, b""
    if words.nbytes > _SMALLEST_SAVING:
        coding, data = _code(words, tuple(shape), dtype)
    if coding is None or len(data) > min(_WORTH_IT * words.nbytes, words.nbytes - _SMALLEST_SAVING):
        coding, data = None, words.astype(f"<u{dtype.width}").tobytes()
    return Row(tuple(names), dtype, tuple(shape), zlib.crc32(data), coding), data


def _code(words: Words, shape: tuple[int, ...], dtype: DType) -> tuple[Coding, bytes]:
    last = len(shape) - 1
    minus = words == words.dtype.type(1 << (8 * dtype.width - 1))
    has_minus = dtype.has_minus_zero and bool(minus.any())
    if has_minus:  # what `weight * mask` leaves where the weight was negative: cheaper as a mask than as values
        words = np.where(minus, words.dtype.type(0), words)
    nonzero = np.flatnonzero(words)
    values = encode_values(words[nonzero])
    best = _choose(_options(words, nonzero, shape), sum(map(len, values.parts)))
    if best.dim != last:
        moved = _moved(words, shape, best.dim)
        values = encode_values(moved[moved != 0])
    parts = [*best.parts, *values.parts, *([deflate([np.packbits(minus)])] if has_minus else [])]
    lengths = tuple(map(len, parts))
    return Coding(best.positions, best.dim, values.bits, values.base, lengths, has_minus), b"".join(parts)


def _options(words: Words, nonzero: Indices, shape: tuple[int, ...]) -> list[_Option]:
    """A mask along each dimension, since groups and blocks repeat along theirs, and gaps along the last."""
    size, count, last = words.size, len(nonzero), len(shape) - 1
    options = [_option(Gaps.best(size, count), last, nonzero), _option(Bitmask(size, count), last, nonzero)]
    movable = [dim for dim in range(last) if shape[dim] > 1 and max(shape[dim + 1 :]) > 1]
    masks = (_option(Bitmask(size, count), dim, np.flatnonzero(_moved(words, shape, dim))) for dim in movable)
    return [*options, *masks]


def _option(positions: Positions, dim: int, nonzero: Indices) -> _Option:
    plain = positions.encode(nonzero)
    parts = tuple(deflate([part]) for part in plain)
    inflated = sum(len(data) for data, part in zip(plain, parts, strict=True) if len(part) < len(data))
    return _Option(positions, dim, parts, positions.read_cost + _INFLATE_COST * inflated)


def _choose(options: Sequence[_Option], values_nbytes: int) -> _Option:
    smallest = min(option.nbytes for option in options) + values_nbytes
    fitting = [option for option in options if option.nbytes + values_nbytes <= _TOLERANCE * smallest]
    last = options[0].dim
    return min(fitting, key=lambda option: option.read_cost + _MOVE_COST * option.positions.size * (option.dim != last))


def _moved(words: Words, shape: tuple[int, ...], dim: int) -> Words:
    """The words in row-major order of the shape in which `dim` comes last."""
    return np.moveaxis(words.reshape(shape), dim, -1).reshape(-1)
