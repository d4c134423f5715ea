"""One bit per word: best near half density and, compressed, for patterns that repeat: N:M groups, blocks, channels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from slrprune.deploy.sparse_file.bits import count_ones, ends_in_one, packed_length
from slrprune.deploy.sparse_file.errors import InvalidError
from slrprune.deploy.sparse_file.positions.base import Indices, Positions
from slrprune.deploy.sparse_file.words import Bytes

_CHUNK = 1 << 14


@dataclass(frozen=True)
class Bitmask(Positions):
    """Bit i says whether word i is stored."""

    size: int
    count: int

    def encode(self, nonzero: Indices) -> list[Bytes]:
        """One part."""
        mask = np.zeros(self.size, bool)
        mask[nonzero] = True
        return [np.packbits(mask)]

    @property
    def lengths(self) -> tuple[int, ...]:
        """A bit per word, in whole bytes."""
        return (packed_length(self.size),)

    @property
    def read_cost(self) -> float:
        """Every word is looked at."""
        return 1.0 * self.size

    def check(self, parts: Sequence[Bytes]) -> None:
        """The bits set are as many as the values."""
        found = count_ones(parts[0])
        if found != self.count or ends_in_one(parts[0], self.size):
            raise InvalidError(f"the mask has {found} bits set, for {self.count} values")

    def low(self, parts: Sequence[Bytes]) -> tuple[None, int]:
        """There are none."""
        return None, 0

    def chunks(self, parts: Sequence[Bytes]) -> Iterator[tuple[int, Indices]]:
        """The set bits, 16 KiB of mask at a time."""
        for start in range(0, len(parts[0]), _CHUNK):
            yield 8 * start, np.flatnonzero(np.unpackbits(parts[0][start : start + _CHUNK]).view(bool))
