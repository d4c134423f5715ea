"""The layout for linear layers at batch 1 or a few (`csrc/slrk.h` describes it)."""

from dataclasses import dataclass

import torch
from torch import Tensor

LANES = 16  # as in csrc/slrk.h
TABLE = 32
TABLE_INPUTS = 31
WORD_SLOTS = 6
MAX_WIDTH = 12
MOST_INPUTS = 65536 // TABLE * TABLE_INPUTS  # positions in the tables are 16-bit numbers

_SLOT_COST = 2.0  # time of one slot of 16 lanes over that of one entry listed apart, measured
_FULL = 0.75  # slots with more of their lanes in use are stored without a mask: more bytes, but fewer instructions


@dataclass(frozen=True)
class _Entries:
    """The nonzeros of the sorted weight, one number per tensor each; sorted by group, table, slot and lane."""

    group: Tensor
    table: Tensor
    slot: Tensor
    lane: Tensor
    entry: Tensor  # position in the table
    value: Tensor

    def select(self, which: Tensor) -> "_Entries":
        """Those of a mask, or of positions in their order."""
        fields = (self.group, self.table, self.slot, self.lane, self.entry, self.value)
        return _Entries(*(field[which] for field in fields))


def pack_lookup(weight: Tensor, bias: Tensor | None, leave_out_empty: bool) -> tuple[dict[str, int], dict[str, Tensor]]:
    """Numbers and arrays of the lookup layout; nothing if the inputs are too many for it.

    Args:
        weight: (out, in), float32 on the CPU.
        bias: (out,) or None.
        leave_out_empty: store slots that are not nearly full with a mask; right where the machine expands such slots
            in one instruction.
    """
    rows, inputs = weight.shape
    if inputs > MOST_INPUTS:
        return {}, {}
    tables, groups = -(-inputs // TABLE_INPUTS), -(-rows // LANES)
    # Outputs of similar count meet in one group, so that one width suits them all.
    order = torch.argsort((weight != 0).sum(dim=1), descending=True, stable=True)
    entries = _entries(weight[order], tables)
    taken = torch.zeros(groups, MAX_WIDTH, dtype=torch.int64)  # entries that slot k of all tables would take
    shallow = entries.select(entries.slot < MAX_WIDTH)
    taken.index_put_((shallow.group, shallow.slot), torch.ones_like(shallow.slot), accumulate=True)
    width = (taken >= _SLOT_COST * tables).sum(dim=1)
    full = torch.minimum((taken >= _FULL * LANES * tables).sum(dim=1), width) if leave_out_empty else width

    inside = entries.slot < width[entries.group]
    row_of_lane = torch.full((groups * LANES,), -1)
    row_of_lane[:rows] = order
    lane_bias = torch.zeros(groups * LANES)
    if bias is not None:
        lane_bias[:rows] = bias[order]
    arrays = {"row_of_lane": row_of_lane, "lane_bias": lane_bias, "width": width, "full": full}
    arrays |= _words(entries.select(inside), tables, width)
    arrays |= _slots(entries.select(inside), tables, width, full)
    arrays |= _extra(entries.select(~inside), groups)
    return {"lookup_groups": groups}, arrays


def _entries(weight: Tensor, tables: int) -> _Entries:
    row, column = (weight != 0).nonzero(as_tuple=True)
    table = column // TABLE_INPUTS
    cell = row * tables + table  # ascending
    slot = _rank_within(cell, torch.bincount(cell, minlength=weight.shape[0] * tables))
    group, lane = row // LANES, row % LANES
    found = _Entries(group, table, slot, lane, column % TABLE_INPUTS, weight[row, column])
    return found.select(torch.argsort(((group * tables + table) * TABLE + slot) * LANES + lane))


def _words(entries: _Entries, tables: int, width: Tensor) -> dict[str, Tensor]:
    per_table = -(-width // WORD_SLOTS)
    pointers = _pointers(tables * per_table)
    words = torch.full((int(pointers[-1]) * LANES,), (1 << 5 * WORD_SLOTS) - 1)  # every index points at the zero
    group, slot = entries.group, entries.slot
    place = (pointers[group] + entries.table * per_table[group] + slot // WORD_SLOTS) * LANES + entries.lane
    index = (entries.entry - TABLE_INPUTS) << (5 * (slot % WORD_SLOTS))
    return {"word_ptr": pointers, "words": words.index_put_((place,), index, accumulate=True)}


def _slots(entries: _Entries, tables: int, width: Tensor, full: Tensor) -> dict[str, Tensor]:
    """Values and masks; a cell is one slot of one table of one group."""
    cells = tables * width
    cell_ptr = _pointers(cells)
    group_of_cell = torch.repeat_interleave(torch.arange(len(width)), cells)
    slot_of_cell = (torch.arange(int(cell_ptr[-1])) - cell_ptr[group_of_cell]) % width[group_of_cell]
    is_full = slot_of_cell < full[group_of_cell]

    cell = cell_ptr[entries.group] + entries.table * width[entries.group] + entries.slot
    counts = torch.bincount(cell, minlength=len(is_full))
    starts = _pointers(torch.where(is_full, LANES, counts))
    slots = torch.zeros(int(starts[-1]) + LANES)  # an expanding load may read past the last value
    slots[starts[cell] + torch.where(is_full[cell], entries.lane, _rank_within(cell, counts))] = entries.value
    masks = torch.zeros_like(counts).index_put_((cell,), 1 << entries.lane, accumulate=True)
    return {
        "mask_ptr": _pointers(tables * (width - full)),
        "masks": masks[~is_full],
        "slot_ptr": starts[cell_ptr],
        "slots": slots,
    }


def _extra(entries: _Entries, groups: int) -> dict[str, Tensor]:
    """Listed by group, and there one entry of each lane in turn."""
    row = entries.group * LANES + entries.lane
    by_row = torch.argsort(row, stable=True)
    entries, row = entries.select(by_row), row[by_row]
    turn = _rank_within(row, torch.bincount(row, minlength=1))
    entries = entries.select(torch.argsort((entries.group * (1 << 20) + turn) * LANES + entries.lane))
    return {
        "extra_ptr": _pointers(torch.bincount(entries.group, minlength=groups)),
        "extra_input": entries.table * TABLE + entries.entry,
        "extra_lane": entries.lane,
        "extra_value": entries.value,
    }


def _rank_within(key: Tensor, counts: Tensor) -> Tensor:
    """The position of each entry among those of the same key; `key` is sorted, `counts` says how many of each."""
    starts = torch.cumsum(counts, 0) - counts
    return torch.arange(len(key)) - starts[key]


def _pointers(counts: Tensor) -> Tensor:
    return torch.cat([counts.new_zeros(1), torch.cumsum(counts, 0)])
