"""Top-k on the CPU: reading a number costs nothing there, so counts may steer the search.

The magnitudes of IEEE numbers are ordered like their bit patterns without the sign. All work is done on those integers
("keys"), through numpy views of the same memory: comparisons become vectorised in every dtype, and NaN, above
infinity, cannot spoil a count.

Large inputs are not copied. A strided sample brackets the threshold; one pass in pieces that fit the cache counts what
lies above the bracket and gathers what lies inside; a selection among those few gives the exact threshold. Counts prove
the bracket right; where it was wrong (a sample can be misled), everything is gathered instead.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Keys = NDArray[Any]  # of a signed integer type

_BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}  # by bytes per number
_DIRECT = 1 << 19  # up to this many entries all keys are gathered: about 2 MB, near the cache
_SAMPLE = 1 << 17  # gives a bracket of about 1% of the entries at 4 standard deviations
_PIECE = 1 << 16  # keys and flags of one piece stay in the second-level cache


def masks(flat: Sequence[Tensor], k: int, total: int) -> list[Tensor]:
    """Masks of the k largest magnitudes; see `topk.top_k`.

    Args:
        flat: one-dimensional floating CPU tensors of one dtype.
        k: in [1, total - 1].
        total: number of entries of all tensors.
    """
    bits = [_bits(w) for w in flat]
    if total <= _DIRECT:
        keys = [_magnitude(b) for b in bits]
        threshold = _largest(np.concatenate(keys), k)
        result = [torch.from_numpy(key >= threshold) for key in keys]
    else:
        threshold = kth_key(bits, k, total)
        result = [_at_least(b, threshold) for b in bits]
    surplus = sum(int(np.count_nonzero(m.numpy())) for m in result) - k
    _drop_last_ties(bits, result, threshold, surplus)
    return result


def kth_key(bits: Sequence[Keys], k: int, total: int) -> int:
    """The k-th largest key of all arrays."""
    low, high = _bracket(bits, k, total)
    above_low, from_high, inside = 0, 0, []
    for piece in _pieces(bits):
        over, reach = piece > low, piece >= high
        above_low += int(np.count_nonzero(over))
        from_high += int(np.count_nonzero(reach))
        inside.append(piece[over ^ reach] if low < high else piece[:0].copy())
    if from_high < k <= above_low:
        return _largest(np.concatenate(inside), k - from_high)
    # At one end of the bracket, as with many ties, or the sample has misled us.
    end = high if k <= from_high else low
    if (
        sum(int(np.count_nonzero(p > end)) for p in _pieces(bits))
        < k
        <= sum(int(np.count_nonzero(p >= end)) for p in _pieces(bits))
    ):
        return end
    return _largest(np.concatenate([_magnitude(b) for b in bits]), k)


def _bracket(bits: Sequence[Keys], k: int, total: int) -> tuple[int, int]:
    """Two keys that very likely enclose the k-th largest, from a deterministic strided sample."""
    stride = max(1, total // _SAMPLE)
    sample = np.concatenate([_magnitude(b[::stride]) for b in bits])
    fraction = k / total
    spread = 4 * math.sqrt(len(sample) * fraction * (1 - fraction)) + len(bits) + 1
    rank = len(sample) * fraction
    few, many = max(1, math.floor(rank - spread)), min(len(sample), math.ceil(rank + spread))
    low, high = _largest(sample, many), _largest(sample, few)
    return low if many < len(sample) else -1, high if few > 1 else _sign_free(sample)


def _bits(flat: Tensor) -> Keys:
    if flat.itemsize == 1:  # the 8-bit floats, whose NaN and infinity follow other rules
        flat = flat.to(torch.float32)
    bits: Keys = flat.contiguous().view(_BITS[flat.itemsize]).numpy()
    return bits


def _magnitude(bits: Keys) -> Keys:
    return bits & _sign_free(bits)


def _sign_free(bits: Keys) -> int:
    """All bits but the sign: also the largest key."""
    return (1 << (8 * bits.itemsize - 1)) - 1


def _pieces(bits: Sequence[Keys]) -> Iterator[Keys]:
    """The keys in pieces; every piece is overwritten by the next."""
    buffer = np.empty(_PIECE, dtype=bits[0].dtype)
    for array in bits:
        for start in range(0, len(array), _PIECE):
            part = array[start : start + _PIECE]
            yield np.bitwise_and(part, _sign_free(part), out=buffer[: len(part)])


def _at_least(bits: Keys, threshold: int) -> Tensor:
    mask = torch.empty(len(bits), dtype=torch.bool)
    out, start = mask.numpy(), 0
    for piece in _pieces([bits]):
        np.greater_equal(piece, threshold, out=out[start : start + len(piece)])
        start += len(piece)
    return mask


def _largest(keys: Keys, k: int) -> int:
    """The k-th largest of `keys`, k from 1; puts them in another order."""
    if keys.dtype == np.int16:  # numpy selects among 32-bit numbers much faster
        keys = keys.astype(np.int32)
    keys.partition(len(keys) - k)
    return int(keys[len(keys) - k])


def _drop_last_ties(bits: Sequence[Keys], masks: Sequence[Tensor], threshold: int, surplus: int) -> None:
    """Clears, from the end, `surplus` entries that equal the threshold."""
    for array, mask in zip(reversed(bits), reversed(masks), strict=True):
        flags = mask.numpy()
        for stop in range(len(array), 0, -_PIECE):
            if not surplus:
                return
            start = max(0, stop - _PIECE)
            ties = np.flatnonzero(_magnitude(array[start:stop]) == threshold)[-surplus:]
            flags[start:stop][ties] = False
            surplus -= len(ties)
