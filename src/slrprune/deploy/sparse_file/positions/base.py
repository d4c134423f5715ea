"""What a coding of positions is: it says which words of a tensor are stored."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slrprune.deploy.sparse_file.words import Bytes

Indices = NDArray[np.int64]
"""Positions in row-major order, ascending."""


class Positions(ABC):
    """Which of `size` words are stored: `count` of them, in ascending order.

    A concrete coding is a frozen dataclass of the numbers that the index holds. Its parts are vectors of bytes.
    """

    size: int
    count: int

    @abstractmethod
    def encode(self, nonzero: Indices) -> list[Bytes]:
        """The parts for `count` ascending positions."""

    @property
    @abstractmethod
    def lengths(self) -> tuple[int, ...]:
        """Bytes of each part, before compression."""

    @property
    @abstractmethod
    def read_cost(self) -> float:
        """Rough nanoseconds to decode the parts, compression aside: only the order between codings matters."""

    @abstractmethod
    def check(self, parts: Sequence[Bytes]) -> None:
        """Raises `InvalidError` unless the parts describe `count` positions below `size`."""

    @abstractmethod
    def low(self, parts: Sequence[Bytes]) -> tuple[NDArray[Any] | None, int]:
        """The low bits of every position, and how many these are; None and 0 where the first part says all."""

    @abstractmethod
    def chunks(self, parts: Sequence[Bytes]) -> Iterator[tuple[int, Indices]]:
        """The positions, in pieces that fit the cache, of parts that passed `check`.

        Yields:
            A number, and offsets to add to it: the sum need not be computed, since a slice can start there.
        """
