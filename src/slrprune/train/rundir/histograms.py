"""`histograms.json`: the weights of every pruned layer, before and after."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

BINS = 64


def histograms(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> dict[str, Any]:
    """Counts of the same bins for both states.

    Args:
        before: the dense weights by name.
        after: the weights after the cut; zeros are counted apart.
    """
    return {"version": 1, "layers": {name: _histogram(before[name], weight) for name, weight in after.items()}}


def _histogram(before: Tensor, after: Tensor) -> dict[str, Any]:
    old, new = (tensor.detach().float().cpu().numpy().ravel() for tensor in (before, after))
    low, high = float(min(old.min(), new.min())), float(max(old.max(), new.max()))
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, BINS + 1)
    kept = new[new != 0]
    return {
        "edges": [float(f"{edge:.6g}") for edge in edges],
        "before": np.histogram(old, edges)[0].tolist(),
        "after": np.histogram(kept, edges)[0].tolist(),
        "zeros_after": int(new.size - kept.size),
    }
