"""Vectors of bits, packed into bytes with the most significant first."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from slrprune.deploy.sparse_file import native
from slrprune.deploy.sparse_file.words import Bytes


def packed_length(count: int) -> int:
    """Bytes for `count` bits."""
    return (count + 7) // 8


def split_bits(numbers: NDArray[Any], bits: int) -> list[Bytes]:
    """The lowest `bits` bits of unsigned numbers, a packed vector for each bit, lowest first."""
    return [np.packbits((numbers >> bit & 1).astype(bool)) for bit in range(bits)]


def join_bits(packed: Bytes, bits: int, count: int) -> NDArray[Any]:
    """The `count` numbers behind `bits` packed vectors, in the smallest unsigned dtype that holds them."""
    dtype = np.min_scalar_type((1 << bits) - 1)
    if bits == 0:
        return np.zeros(count, dtype)
    joined = native.join_bits(packed, bits, count)
    if joined is not None:
        return joined
    vectors = packed.reshape(bits, packed_length(count))
    numbers = np.unpackbits(vectors[-1], count=count).astype(dtype, copy=False)
    for vector in vectors[-2::-1]:
        numbers += numbers  # faster than a shift
        numbers += np.unpackbits(vector, count=count)
    return numbers


def count_ones(packed: Bytes) -> int:
    """How many bits are set."""
    ones = native.count_ones(packed)
    return int.from_bytes(packed.data, "little").bit_count() if ones is None else ones


def ends_in_one(packed: Bytes, bits: int) -> bool:
    """Whether one of the bits behind the first `bits`, which fill up the last byte, is set."""
    unused = 8 * len(packed) - bits
    return bool(unused) and bool(int(packed[-1]) & (1 << unused) - 1)
