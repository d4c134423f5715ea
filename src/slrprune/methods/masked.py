"""Selecting by masks, on the CPU without branches.

There `torch.where` and `masked_fill_` look at one entry after the other, and guess wrong at a random mask. Bit patterns
need no guess: with K all ones where an entry is kept and all zeros elsewhere, x & K is x or +0.0.
"""

import torch
from torch import Tensor

_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}  # by bytes per number


def only(mask: Tensor, values: Tensor) -> Tensor:
    """`torch.where(mask, values, 0.0)`, a new tensor, bit for bit."""
    if values.device.type != "cpu":
        return torch.where(mask, values, 0.0)
    integer = _INTEGERS[values.itemsize]
    return _ones(mask, integer).bitwise_and_(values.view(integer)).view(values.dtype)


def keep_(weight: Tensor, mask: Tensor) -> None:
    """Writes +0.0 wherever `mask` is False; a product would leave -0.0 and revive NaN."""
    if weight.device.type != "cpu":
        weight.masked_fill_(~mask, 0.0)
        return
    integer = _INTEGERS[weight.itemsize]
    weight.view(integer).bitwise_and_(_ones(mask, integer))


def choose(mask: Tensor, kept: Tensor, other: Tensor) -> Tensor:
    """`torch.where(mask, kept, other)` in the dtype of `other`, whose memory the answer takes, bit for bit."""
    if other.device.type != "cpu":
        return torch.where(mask, kept, other, out=other)
    integer = _INTEGERS[other.itemsize]
    differing = kept.to(other.dtype).view(integer) ^ other.view(integer)
    other.view(integer).bitwise_xor_(differing.bitwise_and_(_ones(mask, integer)))
    return other


def as_numbers(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """`mask.to(dtype)`: from bytes, which the CPU converts seven times as fast as truth values."""
    return mask.view(torch.uint8).to(dtype)


def _ones(mask: Tensor, integer: torch.dtype) -> Tensor:
    """K: all bits set where the mask is True, none elsewhere; a new tensor."""
    return mask.view(torch.int8).neg().to(integer)
