"""Kept values in columns: the same bytes of all values together.

In IEEE numbers the exponents repeat and the mantissas do not: apart from each other, the ones compress well and the
others are left alone. So words are first rotated left by one bit: the sign goes to the end, and the highest byte holds
nothing but exponent (in float16, the exponent and three bits). Then the lower half of a word is one column, half of the
rest the next, down to the two highest bytes, which are a column each: four bytes are cut into 2 + 1 + 1.
"""

from dataclasses import dataclass

import numpy as np

from slrprune.deploy.sparse_file.bits import join_bits, packed_length, split_bits
from slrprune.deploy.sparse_file.deflate import deflate, inflate
from slrprune.deploy.sparse_file.words import Bytes, Words

PLAIN = 8
"""Bits of a highest column that is stored as bytes."""
MOST_BITS = 4
"""A highest column of more bits is stored as bytes: bits that depend on each other compress better together."""
_LOWER = {1: (), 2: (1,), 4: (2, 1), 8: (4, 2, 1)}


@dataclass(frozen=True)
class StoredValues:
    """Values as they go into the file: the lower columns and the highest one, which spans `bits` bits from `base`."""

    parts: tuple[bytes, ...]
    bits: int
    base: int


@dataclass(frozen=True)
class Values:
    """Columns as read from a file, lowest bytes first, with one entry per value each."""

    columns: tuple[Words, ...]
    width: int

    def words(self, start: int, stop: int) -> Words:
        """The words number `start` to `stop - 1`."""
        words: Words = np.empty(stop - start, f"<u{self.width}")
        for place, column in zip(_columns(words), self.columns, strict=True):
            place[:] = column[start:stop]
        sign = words << (8 * self.width - 1)
        words >>= 1
        words |= sign
        return words


def encode_values(words: Words) -> StoredValues:
    """The columns of `words` for the file; the highest one in as few bits as it spans, if these are at most four."""
    width = words.itemsize
    sign = words >> (8 * width - 1)
    rotated: Words = (np.left_shift(words, 1) | sign).astype(f"<u{width}")
    *lower, highest = (np.ascontiguousarray(column).view(np.uint8) for column in _columns(rotated))
    base = int(highest.min()) if len(highest) else 0
    bits = (int(highest.max()) - base).bit_length() if len(highest) else 0
    if bits > MOST_BITS:
        bits, base, last = PLAIN, 0, deflate([highest])
    else:
        last = deflate(split_bits(highest - np.uint8(base), bits))
    return StoredValues((*(deflate([column]) for column in lower), last), bits, base)


def decode_values(parts: list[memoryview], count: int, width: int, bits: int, base: int) -> Values:
    """The columns of `count` values; raises `InvalidError` where the parts do not hold them."""
    lengths = column_lengths(count, width, bits)
    columns: list[Words] = [
        inflate(part, length).view(f"<u{size}")
        for part, length, size in zip(parts[:-1], lengths[:-1], _LOWER[width], strict=True)
    ]
    highest: Bytes = inflate(parts[-1], lengths[-1])
    if bits != PLAIN:
        highest = join_bits(highest, bits, count)
        highest += np.uint8(base)
    return Values((*columns, highest), width)


def column_lengths(count: int, width: int, bits: int) -> list[int]:
    """Bytes of each column before compression."""
    return [*(size * count for size in _LOWER[width]), count if bits == PLAIN else bits * packed_length(count)]


def _columns(words: Words) -> list[Words]:
    """The columns as views of `words`, little-endian."""
    width, start, views = words.itemsize, 0, []
    for size in (*_LOWER[width], 1):
        views.append(words.view(f"<u{size}")[start // size :: width // size])
        start += size
    return views
