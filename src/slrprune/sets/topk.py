"""Exact selection of the k largest magnitudes of a list of tensors taken as one point."""

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor

from slrprune.sets import _topk_cpu


def top_k(weights: Sequence[Tensor], k: int) -> list[Tensor]:
    """Masks of the k largest magnitudes; equal magnitudes: the lowest index stays (equation 4).

    On the CPU linear time, and little extra memory for large inputs. On accelerators one `torch.topk`, no host sync.

    Args:
        weights: floating tensors of any shape, dtype and memory format, in order: an index counts first the tensor,
            then the row-major position in it. Magnitudes of different dtypes are compared in their common dtype.
        k: how many entries stay over all tensors; fewer than 0 means 0, more than all means all.

    Returns:
        One bool tensor per weight, contiguous, of its shape and device, with exactly k True in all.

    Examples:
        >>> top_k([torch.tensor([1.0, -3.0]), torch.tensor([3.0, 3.0])], 2)
        [tensor([False,  True]), tensor([ True, False])]
    """
    total = sum(w.numel() for w in weights)
    if k <= 0 or k >= total:
        return [torch.full(w.shape, k > 0, dtype=torch.bool, device=w.device) for w in weights]
    dtype = reduce(torch.promote_types, (w.dtype for w in weights))
    flat = [w.detach().reshape(-1).to(dtype) for w in weights]
    if all(w.device.type == "cpu" for w in flat):
        masks = _topk_cpu.masks(flat, k, total)
    else:
        masks = _masks_on_device(flat, k, total)
    return [mask.view(w.shape) for mask, w in zip(masks, weights, strict=True)]


def _masks_on_device(flat: Sequence[Tensor], k: int, total: int) -> list[Tensor]:
    magnitudes = torch.cat([w.to(flat[0].device) for w in flat]).abs()
    # The shorter side: topk sorts what it returns. (kthvalue has no deterministic kernel on CUDA.)
    if 2 * k <= total:
        threshold = magnitudes.topk(k, sorted=False).values.amin()
    else:
        threshold = magnitudes.topk(total - k + 1, largest=False, sorted=False).values.amax()
    above, ties = magnitudes > threshold, magnitudes == threshold
    needed = k - above.sum(dtype=torch.int32)
    mask = above | (ties & (ties.cumsum(0, dtype=torch.int32) <= needed))
    parts = mask.split([w.numel() for w in flat])
    # Cloned: a view would keep the masks of all tensors alive.
    return [part.to(w.device, copy=True) for part, w in zip(parts, flat, strict=True)]
