"""Which output units still have something on the support (docs/theory.md, eq. 25)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from slrprune.methods.base import Problem


def live_units(problem: Problem, masks: Sequence[Tensor]) -> list[Tensor | None]:
    """For each weight where its units are that have an entry on the support: filters, neurons.

    Args:
        problem: says along which dimension of a weight its units lie.
        masks: of the support, bool, one per weight.

    Returns:
        Bool, of size 1 in all dimensions but that of the units, so that it can be broadcast; None for a weight
        without units. The same on all ranks that hold the same unit.
    """
    found: list[Tensor | None] = []
    for mask, dim in zip(masks, problem.unit_dims, strict=True):
        if dim is None:
            found.append(None)
            continue
        others = [other for other in range(mask.dim()) if other != dim]
        # of bytes amax is several times faster than any, but an empty slice has no largest entry
        live = mask.amax(dim=others, keepdim=True) if mask.numel() else mask.any(dim=others, keepdim=True)
        if problem.world.ranks > 1 and dim != 0:  # weights are cut along dimension 0: others lie on several ranks
            live = problem.world.sum(live.double()) > 0
        found.append(live)
    return found


def of_live_units(
    size: float | Tensor, live: Tensor | None, beta: float | Tensor, dtype: torch.dtype
) -> float | Tensor:
    """The stepsize of a weight's multipliers, 0 in units that are cut off as a whole.

    Args:
        size: of the step elsewhere, a number or 0-dim.
        live: from `live_units`.
        beta: of the relaxed path (eq. 20). Where it is above 0 no unit is cut off: the network computes with all.
        dtype: of the memory, on the device of `live`.
    """
    if live is None or (isinstance(beta, float) and beta > 0):
        return size
    if isinstance(beta, Tensor):
        live = live | (beta.to(live.device) > 0)
    return live.to(dtype) * (size.to(live.device, dtype) if isinstance(size, Tensor) else size)
