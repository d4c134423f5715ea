"""Gaps in unary, above low bits as they are (Elias-Fano): for few values at random places.

It takes about half a bit per value more than the best code of the gaps, and is read without inflating anything. Elias,
"Efficient storage and retrieval by content and address of static files", J. ACM 21(2), 1974; Fano, MIT Project MAC
memo 61, 1971.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slrprune.deploy.sparse_file.bits import count_ones, ends_in_one, join_bits, packed_length, split_bits
from slrprune.deploy.sparse_file.errors import InvalidError
from slrprune.deploy.sparse_file.positions.base import Indices, Positions
from slrprune.deploy.sparse_file.words import Bytes

MOST_LOW_BITS = 32
"""More would not fit the sum of signed positions and unsigned low bits; a position may have 48 bits."""
_CHUNK = 1 << 14
_COUNTING = np.arange(8 * _CHUNK)


@dataclass(frozen=True)
class Gaps(Positions):
    """Value i at position p sets bit (p >> low_bits) + i of a vector: zeros count the gaps between the high bits.

    The first part is this vector, of count + ((size - 1) >> low_bits) bits. The second holds the low bits of every
    position, a vector for each bit, lowest first. The size is a multiple of 2**low_bits, so that no part can describe a
    position beyond the end.
    """

    size: int
    count: int
    low_bits: int

    @staticmethod
    def best(size: int, count: int) -> "Gaps":
        """The shortest one for `count` positions below `size`."""
        fitting = (low_bits for low_bits in range(MOST_LOW_BITS + 1) if size % (1 << low_bits) == 0)
        return min((Gaps(size, count, low_bits) for low_bits in fitting), key=lambda gaps: sum(gaps.lengths))

    def encode(self, nonzero: Indices) -> list[Bytes]:
        """The unary vector and the low bits."""
        unary = np.zeros(self._unary_bits, bool)
        unary[(nonzero >> self.low_bits) + np.arange(len(nonzero))] = True
        low = split_bits(nonzero, self.low_bits)
        return [np.packbits(unary), np.concatenate([np.empty(0, np.uint8), *low])]

    @property
    def lengths(self) -> tuple[int, ...]:
        """The unary vector, and a vector per low bit."""
        return packed_length(self._unary_bits), self.low_bits * packed_length(self.count)

    @property
    def read_cost(self) -> float:
        """Finding the ones, and adding the low bits."""
        return (3.0 + 0.4 * self.low_bits) * self.count

    @property
    def _unary_bits(self) -> int:
        return self.count + (max(self.size - 1, 0) >> self.low_bits)

    def check(self, parts: Sequence[Bytes]) -> None:
        """As many ones as values; then no position can lie outside of the tensor."""
        ones = count_ones(parts[0])
        if ones != self.count or ends_in_one(parts[0], self._unary_bits):
            raise InvalidError(f"the unary vector has {ones} ones, for {self.count} values")

    def low(self, parts: Sequence[Bytes]) -> tuple[NDArray[Any], int]:
        """Joined from their vectors."""
        return join_bits(parts[1], self.low_bits, self.count), self.low_bits

    def chunks(self, parts: Sequence[Bytes]) -> Iterator[tuple[int, Indices]]:
        """The ones of 16 KiB of the unary vector at a time."""
        unary, start = parts[0], 0
        low, _ = self.low(parts)
        for first in range(0, len(unary), _CHUNK):
            offsets = np.flatnonzero(np.unpackbits(unary[first : first + _CHUNK]).view(bool))
            stop = start + len(offsets)
            offsets -= _COUNTING[: len(offsets)]
            offsets <<= self.low_bits
            offsets += low[start:stop]
            yield (8 * first - start) << self.low_bits, offsets
            start = stop
