"""The k largest magnitudes over all ranks, exact, without any rank seeing the others' weights.

The magnitudes of IEEE numbers are ordered like their bit patterns without the sign ("keys"). So the k-th largest key is
found digit by digit from the top: every rank counts how often each digit occurs among its keys that agree with the
digits found so far, the counts are summed over the ranks, and the sum says what the next digit is (radix selection).
What is left to share out are the keys equal to the threshold. The lowest index stays, counting first the tensor, then
the row-major position in the whole tensor: since a rank's rows follow those of the ranks before it, it suffices to
gather how many such keys each rank has of each tensor. The masks are those that one process would find.

On the wire, per selection among B bags with t tensors in all (docs/scale.md): R sums of 8 B 2^d bytes, and one
gathering of 16 t bytes per rank; d = 11 digits for one bag and 8 for several, R = ceil(key bits / d).
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from slrprune.distributed.world import World
from slrprune.sets import _topk_cpu

_INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}  # by bytes per number


@dataclass(frozen=True, eq=False)
class Bag:
    """Tensors whose entries compete for places.

    Attributes:
        scores: floating tensors of any shape: this rank's parts, in order; signs do not count.
        kept: how many entries stay over all ranks, from 0 to their number.
    """

    scores: Sequence[Tensor]
    kept: int


@dataclass(frozen=True, eq=False)
class Ranking:
    """What a selection found for one bag.

    Attributes:
        masks: one bool tensor per tensor of the bag, True = kept, of its shape and device.
        counts: how many entries of each tensor stay over all ranks, int64.
    """

    masks: list[Tensor]
    counts: Tensor


def largest(bags: Sequence[Bag], world: World) -> list[Ranking]:
    """Selects in all bags at once; equal magnitudes: the lowest index stays (docs/theory.md, equation 4).

    Args:
        bags: at least one; all scores of one dtype and device.
        world: where the other parts are. Every rank passes the same bags, with its own parts.

    Returns:
        One ranking per bag. On accelerators nothing is read back to the host.
    """
    flat = [[score.detach().reshape(-1) for score in bag.scores] for bag in bags]
    keys: _Keys = _HostKeys(flat) if flat[0][0].device.type == "cpu" else _DeviceKeys(flat)
    remaining = torch.tensor([bag.kept for bag in bags], dtype=torch.int64).to(keys.device, non_blocking=True)
    threshold = torch.zeros_like(remaining)
    for shift, width in digits(keys.bits, len(bags)):
        counts = world.sum(keys.counts(threshold, shift, width))
        from_digit = counts.flip(1).cumsum(1).flip(1)  # keys whose digit is this one or greater
        digit = ((from_digit >= remaining.unsqueeze(1)).sum(1) - 1).clamp_(min=0)
        above = torch.nn.functional.pad(from_digit, (0, 1)).gather(1, digit.unsqueeze(1) + 1).squeeze(1)
        remaining, threshold = remaining - above, threshold | (digit << shift)
    return _shared_out(bags, keys, threshold, remaining, world)


def digits(bits: int, bags: int) -> list[tuple[int, int]]:
    """How a key is cut into digits: (shift, width) from the top.

    Examples:
        >>> digits(31, bags=1), digits(15, bags=7)
        ([(20, 11), (9, 11), (0, 9)], [(7, 8), (0, 7)])
    """
    width = 11 if bags == 1 else 8
    ends = range(bits, 0, -width)
    return [(max(0, end - width), min(width, end)) for end in ends]


def _shared_out(
    bags: Sequence[Bag], keys: "_Keys", threshold: Tensor, remaining: Tensor, world: World
) -> list[Ranking]:
    """The masks, once threshold and number of ties to keep are known per bag."""
    found = world.gather(keys.above_and_ties(threshold))  # (ranks, 2, tensors)
    rankings, start = [], 0
    for position, bag in enumerate(bags):
        stop = start + len(bag.scores)
        above, ties = found[:, 0, start:stop].sum(0), found[:, 1, start:stop].t()  # ties: (tensors, ranks)
        before = (ties.reshape(-1).cumsum(0) - ties.reshape(-1)).view_as(ties)
        quotas = torch.minimum((remaining[position] - before).clamp(min=0), ties)
        masks = keys.masks(position, threshold[position], quotas[:, world.rank])
        shaped = [mask.view(score.shape) for mask, score in zip(masks, bag.scores, strict=True)]
        rankings.append(Ranking(shaped, above + quotas.sum(1)))
        start = stop
    return rankings


class _Keys(ABC):
    """The keys of all bags on this rank."""

    bits: int
    device: torch.device

    @abstractmethod
    def counts(self, threshold: Tensor, shift: int, width: int) -> Tensor:
        """How often each digit at `shift` occurs, among keys that agree with `threshold` above it.

        Args:
            threshold: (bags,), int64: digits found so far, zeros below.
            shift: position of the digit, in bits from the right.
            width: its length in bits.

        Returns:
            (bags, 2^width), int64.
        """

    @abstractmethod
    def above_and_ties(self, threshold: Tensor) -> Tensor:
        """How many keys of each tensor are above their bag's threshold, and how many equal it; (2, tensors), int64."""

    @abstractmethod
    def masks(self, bag: int, threshold: Tensor, quotas: Tensor) -> list[Tensor]:
        """Keys above the threshold, and of those equal to it the first `quotas[i]` of tensor i; bool, flat."""


class _HostKeys(_Keys):
    """On the CPU: pieces that fit the cache, and after the first digit only the few keys that are still in question."""

    def __init__(self, flat: Sequence[Sequence[Tensor]]) -> None:
        self._bits = [[_topk_cpu._bits(tensor) for tensor in tensors] for tensors in flat]
        self._left = [list(arrays) for arrays in self._bits]  # may still lie at the threshold, by tensor
        self._reached: list[list[Tensor]] = []  # once the threshold is known: the keys that reach it
        self._ties: list[list[int]] = []
        self.bits = 8 * self._bits[0][0].itemsize - 1
        self.device = torch.device("cpu")

    def counts(self, threshold: Tensor, shift: int, width: int) -> Tensor:
        """See `_Keys`."""
        found = torch.zeros(len(self._left), 1 << width, dtype=torch.int64)
        for position, (arrays, known) in enumerate(zip(self._left, threshold.tolist(), strict=True)):
            if shift + width < self.bits:
                arrays[:] = [_agreeing(array, shift + width, known) for array in arrays]
            histogram = found[position].numpy()
            for piece in _topk_cpu._pieces(arrays):
                histogram += np.bincount((piece >> shift) & ((1 << width) - 1), minlength=1 << width)
        return found

    def above_and_ties(self, threshold: Tensor) -> Tensor:
        """See `_Keys`."""
        above, ties = [], []
        for arrays, left, known in zip(self._bits, self._left, threshold.tolist(), strict=True):
            reached = [_topk_cpu._at_least(array, known) for array in arrays]
            equal = [int(np.count_nonzero(_topk_cpu._magnitude(few) == known)) for few in left]
            ties += equal
            above += [int(np.count_nonzero(mask.numpy())) - n for mask, n in zip(reached, equal, strict=True)]
            self._reached.append(reached)
            self._ties.append(equal)
        return torch.tensor([above, ties], dtype=torch.int64)

    def masks(self, bag: int, threshold: Tensor, quotas: Tensor) -> list[Tensor]:
        """See `_Keys`."""
        known, found = int(threshold), self._reached[bag]
        parts = zip(self._bits[bag], found, self._ties[bag], quotas.tolist(), strict=True)
        for array, mask, ties, quota in parts:
            _topk_cpu._drop_last_ties([array], [mask], known, ties - quota)
        return found


def _agreeing(array: _topk_cpu.Keys, shift: int, known: int) -> _topk_cpu.Keys:
    """The keys of `array` that agree with `known` from bit `shift` up."""
    pieces = [piece[(piece >> shift) == (known >> shift)] for piece in _topk_cpu._pieces([array])]
    return np.concatenate(pieces) if pieces else array[:0]


class _DeviceKeys(_Keys):
    """On accelerators: whole passes, 4 bytes of keys per float32 entry, and no number read back."""

    def __init__(self, flat: Sequence[Sequence[Tensor]]) -> None:
        sizes = [[tensor.numel() for tensor in tensors] for tensors in flat]
        first = flat[0][0]
        if first.element_size() == 1:  # the 8-bit floats, whose NaN and infinity follow other rules
            flat = [[tensor.to(torch.float32) for tensor in tensors] for tensors in flat]
        integer = _INTEGERS[flat[0][0].element_size()]
        self.bits = 8 * flat[0][0].element_size() - 1
        self.device = first.device
        sign_free = (1 << self.bits) - 1
        self._sizes = sizes
        self._keys = [torch.cat([tensor.contiguous().view(integer) for tensor in bag]) & sign_free for bag in flat]

    def counts(self, threshold: Tensor, shift: int, width: int) -> Tensor:
        """See `_Keys`."""
        rows = []
        for position, keys in enumerate(self._keys):
            digit = ((keys >> shift) & ((1 << width) - 1)).int()
            if shift + width < self.bits:
                agrees = (keys >> (shift + width)) == (threshold[position] >> (shift + width))
                digit = digit.masked_fill_(~agrees, 1 << width)
            rows.append(self._histogram(digit, 1 << width))
        return torch.stack(rows)

    def above_and_ties(self, threshold: Tensor) -> Tensor:
        """See `_Keys`."""
        above, ties = [], []
        for keys, sizes, known in zip(self._keys, self._sizes, threshold, strict=True):
            above += [part.sum() for part in (keys > known).split(sizes)]
            ties += [part.sum() for part in (keys == known).split(sizes)]
        return torch.stack([torch.stack(above), torch.stack(ties)])

    def masks(self, bag: int, threshold: Tensor, quotas: Tensor) -> list[Tensor]:
        """See `_Keys`."""
        return [
            (part > threshold) | (((part == threshold).cumsum(0, dtype=torch.int32) <= quota) & (part == threshold))
            for part, quota in zip(self._keys[bag].split(self._sizes[bag]), quotas, strict=True)
        ]

    @staticmethod
    def _histogram(digit: Tensor, bins: int) -> Tensor:
        """Counts of 0 to bins - 1; entries equal to `bins` do not count."""
        if digit.device.type == "cpu":  # where histc takes floats only; for tests of this class
            return torch.bincount(digit, minlength=bins + 1)[:bins]
        # bincount would read its maximum back to the host.
        return torch.histc(digit, bins=bins + 1, min=0, max=bins)[:bins].long()


def batches(bags: Sequence[Bag]) -> Iterator[tuple[list[int], list[Bag]]]:
    """Bags of one dtype together, each brought to the common dtype of its scores, with their positions."""
    by_dtype: dict[torch.dtype, list[int]] = {}
    for position, bag in enumerate(bags):
        by_dtype.setdefault(common_dtype(bag.scores), []).append(position)
    for dtype, positions in by_dtype.items():
        yield positions, [Bag([s.to(dtype) for s in bags[p].scores], bags[p].kept) for p in positions]


def common_dtype(tensors: Sequence[Tensor]) -> torch.dtype:
    """The dtype in which tensors of several dtypes are compared."""
    dtype = tensors[0].dtype
    for tensor in tensors[1:]:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return dtype
