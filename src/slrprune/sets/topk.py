"""Exact selection of the k largest magnitudes of a list of tensors taken as one point."""

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor


def top_k(weights: Sequence[Tensor], k: int) -> list[Tensor]:
    """Masks of the k largest magnitudes; equal magnitudes: the lowest index stays.

    Args:
        weights: floating tensors of any shape, dtype and memory format, in order: an index counts first the tensor,
            then the row-major position in it.
        k: how many entries stay, over all tensors, in [0, total number of entries].

    Returns:
        One bool tensor per weight, of its shape and device, with exactly k True in all.
    """
    total = sum(w.numel() for w in weights)
    if k <= 0 or k >= total:
        return [torch.full(w.shape, k > 0, dtype=torch.bool, device=w.device) for w in weights]
    device, dtype = weights[0].device, reduce(torch.promote_types, (w.dtype for w in weights))
    magnitudes = torch.cat([w.detach().reshape(-1).to(device, dtype) for w in weights]).abs_()
    threshold = magnitudes.kthvalue(total - k + 1).values
    ties = magnitudes == threshold
    above = magnitudes > threshold
    need = k - above.sum(dtype=torch.int32)
    flat = above | (ties & (ties.cumsum(0, dtype=torch.int32) <= need))
    parts = flat.split([w.numel() for w in weights])
    return [part.clone().view(w.shape).to(w.device) for part, w in zip(parts, weights, strict=True)]
