"""Ranks that decide from the same numbers decide alike; this is the check that they did."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from slrprune.distributed.world import World
from slrprune.errors import RankError

_MIX = (0x9E3779B97F4A7C15 - (1 << 64), 0xBF58476D1CE4E5B9 - (1 << 64))  # the odd constants of splitmix64, as int64


def refuse_disagreement(
    world: World, where: str, names: Sequence[str], masks: Sequence[Tensor], scalars: Mapping[str, Tensor]
) -> None:
    """Compares hashes of the masks among the ranks that hold the same rows, and the scalars among all.

    Args:
        world: the ranks.
        where: how the error begins.
        names: of the weights.
        masks: this rank's, bool.
        scalars: 0-dim float64, what decisions were made from.

    Raises:
        RankError: naming the first layer, or the scalar, that is not the same everywhere. Every rank raises.
    """
    if world.size == 1:
        return
    way_out = "Load the last checkpoint; look for a rank whose weights or steps are not those of the others."
    prints = torch.stack([fingerprint(mask).to(masks[0].device) for mask in masks])
    for name, differs in zip(names, world.copies_differ(prints).tolist(), strict=True):
        if differs:
            raise RankError(where, f"the masks of {name} are not the same on all ranks", way_out)
    if not scalars:
        return
    bits = torch.stack([value.to(masks[0].device, torch.float64) for value in scalars.values()]).view(torch.int64)
    for name, differs in zip(scalars, world.differ(bits).tolist(), strict=True):
        if differs:
            raise RankError(where, f"the value of {name} is not the same on all ranks", way_out)


def fingerprint(mask: Tensor) -> Tensor:
    """A hash of a bool tensor, in row-major order of its shape: 0-dim int64 on its device.

    Eight entries make a word; each word is mixed with its position (splitmix64), and all are added.
    """
    flat = mask.reshape(-1).contiguous().view(torch.uint8)
    words = torch.nn.functional.pad(flat, (0, -flat.numel() % 8)).view(torch.int64)
    mixed = (words + torch.arange(1, words.numel() + 1, device=words.device) * _MIX[0]) * _MIX[1]
    mixed ^= (mixed >> 29) & 0x7FFFFFFFF
    return (mixed * _MIX[0]).sum() + flat.numel()
