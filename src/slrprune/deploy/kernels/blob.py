"""A packed weight as one uint8 tensor: a header of 64-bit integers, then arrays, each 64-byte aligned.

One tensor, so that a packed layer has one buffer, and an exported program holds it as it holds any other weight.
`csrc/slrk.h` says what the arrays mean.
"""

import struct
from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor

MAGIC = 0x534C524B  # as in csrc/slrk.h
LAYOUT = 1
_ALIGN = 64

FIELDS = (
    *("magic", "layout", "bytes", "rows", "channels", "kernel_h", "kernel_w", "rows_per_group", "block", "chunk"),
    *("entries", "bias", "seg_ptr", "seg_group", "taps", "values"),
    *(
        "lookup_groups",
        "row_of_lane",
        "lane_bias",
        "width",
        "full",
        "word_ptr",
        "words",
        "mask_ptr",
        "masks",
        "slot_ptr",
        "slots",
    ),
    *("extra_ptr", "extra_input", "extra_lane", "extra_value"),
)
ARRAYS: Mapping[str, torch.dtype] = MappingProxyType(
    {
        "bias": torch.float32,
        "seg_ptr": torch.int32,
        "seg_group": torch.int16,  # the 16-bit arrays hold unsigned numbers, which torch handles less well
        "taps": torch.int16,
        "values": torch.float32,
        "row_of_lane": torch.int32,
        "lane_bias": torch.float32,
        "width": torch.int32,
        "full": torch.int32,
        "word_ptr": torch.int32,
        "words": torch.int32,
        "mask_ptr": torch.int32,
        "masks": torch.int16,
        "slot_ptr": torch.int32,
        "slots": torch.float32,
        "extra_ptr": torch.int32,
        "extra_input": torch.int16,
        "extra_lane": torch.int16,
        "extra_value": torch.float32,
    }
)


def write(numbers: Mapping[str, int], arrays: Mapping[str, Tensor]) -> Tensor:
    """The packed weight, a uint8 tensor of one dimension.

    Args:
        numbers: the header's fields that are no array; magic, layout and bytes are filled in.
        arrays: the arrays, flat or not, in any integer or floating dtype.
    """
    header = dict.fromkeys(FIELDS, 0) | dict(numbers) | {"magic": MAGIC, "layout": LAYOUT}
    parts = {}
    end = _round_up(8 * len(FIELDS))
    for name, array in arrays.items():
        parts[end] = array.detach().to(ARRAYS[name]).contiguous().view(-1).view(torch.uint8)
        header[name] = end
        end = _round_up(end + parts[end].numel())
    header["bytes"] = end
    packed = torch.zeros(end, dtype=torch.uint8)
    packed[: 8 * len(FIELDS)] = torch.tensor([header[field] for field in FIELDS]).view(torch.uint8)
    for start, part in parts.items():
        packed[start : start + part.numel()] = part
    return packed


def read_header(packed: Tensor) -> dict[str, int]:
    """The header's fields by name; `packed` must hold one."""
    raw = bytes(packed[: 8 * len(FIELDS)].tolist())
    return dict(zip(FIELDS, struct.unpack(f"={len(FIELDS)}q", raw), strict=True))


def _round_up(size: int) -> int:
    return -(-size // _ALIGN) * _ALIGN
