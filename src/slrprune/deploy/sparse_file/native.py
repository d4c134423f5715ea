"""The inner loops in C, where the library of the sparse kernels is there; numpy does the same, in more passes."""

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slrprune.deploy.kernels.native import library_if_any
from slrprune.deploy.sparse_file.words import Bytes, Words

_SMALL = 1 << 12
"""Bytes, below which a call costs more than it saves."""


def unpack(out: Words, bits: Bytes, low: NDArray[Any] | None, low_bits: int, columns: Sequence[Words]) -> bool:
    """Writes a coded tensor into `out`: values where the bits say, zeros elsewhere.

    Args:
        out: contiguous words of the tensor.
        bits: a mask, or the unary part of gaps.
        low: low bits of the positions, for gaps.
        low_bits: how many these are.
        columns: of the values, lowest bytes first.

    Returns:
        Whether that was done; False where numpy has to do it.
    """
    library = library_if_any()
    if library is None or not out.flags.c_contiguous or out.nbytes < _SMALL:
        return False
    if low is not None and low.dtype.itemsize > 4:
        return False
    pointers = (ctypes.c_void_p * 4)(*(column.ctypes.data for column in columns))
    low_width = 0 if low is None else low.dtype.itemsize
    done = library.slrk_unpack(
        out.ctypes.data,
        out.size,
        out.itemsize,
        bits.ctypes.data,
        len(bits),
        None if low is None else low.ctypes.data,
        low_width,
        low_bits,
        pointers,
        len(columns[0]),
    )
    return bool(done)


def count_ones(packed: Bytes) -> int | None:
    """Bits that are set; None where the library cannot say."""
    library = library_if_any() if len(packed) >= _SMALL else None
    return None if library is None else int(library.slrk_count_ones(packed.ctypes.data, len(packed)))


def join_bits(packed: Bytes, bits: int, count: int) -> Bytes | None:
    """The numbers behind up to 8 packed vectors; None where the library cannot join them."""
    library = library_if_any() if len(packed) >= _SMALL and bits <= 8 else None
    if library is None:
        return None
    numbers = np.empty(count, np.uint8)
    library.slrk_join_bits(numbers.ctypes.data, count, packed.ctypes.data, bits)
    return numbers
