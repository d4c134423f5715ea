"""Arithmetic for passes on NaN, where torch's own would say too much, or too little."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


class ProbeArithmetic(TorchFunctionMode):
    """0 * NaN = 0, so that a channel of zeros stays so under any gate; and no constants out of pools that pad zeros."""

    _PRODUCTS = (
        torch.mul,
        torch.multiply,
        Tensor.mul,
        Tensor.multiply,
        Tensor.mul_,
        Tensor.__mul__,
        Tensor.__rmul__,
        Tensor.__imul__,
    )
    _POOLS = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs `func`; mends products of two floating tensors, and averages that count padded zeros."""
        kwargs = kwargs or {}
        if func in self._POOLS and _counts_padding(args, kwargs):
            averages = func(*args, **kwargs)
            return averages.masked_fill(averages != 0, torch.nan)
        if func in self._PRODUCTS and all(isinstance(arg, Tensor) and arg.is_floating_point() for arg in args):
            zero = torch.stack(torch.broadcast_tensors(*(arg == 0 for arg in args))).any(0)
            return func(*args, **kwargs).masked_fill_(zero, 0)
        return func(*args, **kwargs)


def _counts_padding(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether an average pool, called so, takes padded zeros for values."""
    padding = args[3] if len(args) > 3 else kwargs.get("padding", 0)
    counted = args[5] if len(args) > 5 else kwargs.get("count_include_pad", True)
    return bool(counted) and any((padding,) if isinstance(padding, int) else padding)
