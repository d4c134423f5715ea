"""The layout for convolutions, and for linear layers with a batch (`csrc/slrk.h` describes it)."""

from dataclasses import dataclass

import torch
from torch import Tensor

_TILE = 112  # output positions of the widest register tile, as in csrc/slrk.h
_CACHE_FLOATS = 4608  # of the input block: 18 KiB, so that weights and sums find room in a first-level cache of 32 KiB
_BUFFER_FLOATS = 65536  # the block grows to at most this for the sake of long segments
_SEGMENT = {1: 14, 4: 20}  # entries, by rows per group: shorter segments spend too much on reading and writing sums
_ROWS_PER_CHUNK = (64, 128)
_WHOLE = 16  # channels that are copied together fastest, in a linear layer
_LARGEST_BLOCK = 65536  # taps within a block are 16-bit numbers


@dataclass(frozen=True)
class Reach:
    """How much input one tile of output positions reads.

    Args:
        positions: output positions per image.
        offset: how far the last tap of the kernel lies behind the first, in positions.
        phases: copies of the input, one per remainder of the stride that the kernel uses.
        in_order: whether tiles hold the positions of an output row one after another, as the output does. Then a layer
            of one block writes its output without a copy.
    """

    positions: int
    offset: int = 0
    phases: int = 1
    in_order: bool = False

    @property
    def floats_per_channel(self) -> int:
        """Floats of the copied input, per channel."""
        return self.phases * (min(_TILE, -(-self.positions // 16) * 16) + self.offset)


def choose_rows_per_group(weight: Tensor) -> int:
    """4 where four consecutive outputs share nearly all their nonzero positions, otherwise 1."""
    nonzero = weight.flatten(1) != 0
    blocks = int(_group_rows(nonzero, 4).any(dim=1).sum())
    return 4 if weight.shape[0] >= 4 and blocks and int(nonzero.sum()) >= 3 * blocks else 1


def pack_panel(
    weight: Tensor, bias: Tensor | None, rows_per_group: int, reach: Reach
) -> tuple[dict[str, int], dict[str, Tensor]]:
    """Numbers and arrays of the panel layout.

    Args:
        weight: (out, in, kernel_h, kernel_w), float32 on the CPU.
        bias: (out,) or None.
        rows_per_group: outputs that share each position, 1 or 4.
        reach: what one tile reads, from which the block of channels is chosen.
    """
    rows, channels, kernel_h, kernel_w = weight.shape
    taps = kernel_h * kernel_w
    grouped = _group_rows(weight.reshape(rows, channels * taps), rows_per_group).reshape(
        -1, rows_per_group, channels, taps
    )
    groups = grouped.shape[0]
    kept = (grouped != 0).any(dim=1)  # (groups, channels, taps)
    group, channel, tap = kept.nonzero(as_tuple=True)
    block = _choose_block(channels, taps, len(group) / groups, rows_per_group, reach)
    blocks = -(-channels // block)
    low, high = _ROWS_PER_CHUNK
    chunk = max(1, min(high, max(low, rows // 4)) // rows_per_group)

    segment = group * blocks + channel // block
    counts = torch.bincount(segment, minlength=groups * blocks)
    order = _segment_order(counts, groups, blocks, chunk)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order))
    entry_order = torch.argsort(rank[segment], stable=True)
    seg_ptr = torch.zeros(len(order) + 1, dtype=torch.int64)
    torch.cumsum(counts[order], 0, out=seg_ptr[1:])
    padded_bias = torch.zeros(groups * rows_per_group)
    if bias is not None:
        padded_bias[:rows] = bias
    numbers = {"rows": rows, "channels": channels, "kernel_h": kernel_h, "kernel_w": kernel_w}
    numbers |= {"rows_per_group": rows_per_group, "block": block, "chunk": chunk, "entries": len(group)}
    arrays = {
        "bias": padded_bias,
        "seg_ptr": seg_ptr,
        "seg_group": (order // blocks) % chunk,
        "taps": ((channel % block) * taps + tap)[entry_order],
        "values": grouped.permute(0, 2, 3, 1)[group, channel, tap][entry_order],
    }
    return numbers, arrays


def _group_rows(matrix: Tensor, rows_per_group: int) -> Tensor:
    """(rows, n) to (groups, rows_per_group, n), with rows of zeros at the end where needed."""
    missing = -matrix.shape[0] % rows_per_group
    padded = torch.cat([matrix, matrix.new_zeros(missing, matrix.shape[1])])
    return padded.reshape(-1, rows_per_group, matrix.shape[1])


def _choose_block(channels: int, taps: int, entries_per_group: float, rows_per_group: int, reach: Reach) -> int:
    """Channels per block: the copied input stays in the first-level cache, unless that makes segments too short."""
    if reach.in_order and channels * max(taps, reach.floats_per_channel) <= _BUFFER_FLOATS:
        return channels
    block = max(1, _CACHE_FLOATS // reach.floats_per_channel)
    long_enough = int(_SEGMENT[rows_per_group] * channels / max(entries_per_group, 1)) + 1
    block = max(block, min(long_enough, _BUFFER_FLOATS // reach.floats_per_channel))
    block = max(1, min(block, channels, _LARGEST_BLOCK // taps))
    block = -(-channels // -(-channels // block))  # blocks of nearly equal size
    return min(channels, -(-block // _WHOLE) * _WHOLE) if taps == 1 else block


def _segment_order(counts: Tensor, groups: int, blocks: int, chunk: int) -> Tensor:
    """Segments, numbered group * blocks + block, in the order in which they are stored."""
    number = torch.arange(groups * blocks)
    place = (number // blocks // chunk) * blocks + number % blocks
    by_length = torch.argsort(counts, stable=True)
    return by_length[torch.argsort(place[by_length], stable=True)]
