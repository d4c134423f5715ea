"""A mode in which nothing waits for an accelerator, for tests on the meta device, which stands in for one."""

from typing import Any

import torch
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

_WAITING = {"_local_scalar_dense", "nonzero", "equal", "masked_select", "_unique2", "bincount", "repeat_interleave"}
"""Operations whose result, or its size, must be known on the host."""


class NoTraffic(TorchDispatchMode):
    """Refuses operations that read a value on the host, and such that touch two devices."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in pytree.tree_leaves((args, kwargs, result)) if isinstance(leaf, torch.Tensor)]
        devices = {tensor.device.type for tensor in tensors}
        assert len(devices) <= 1, f"{func} touches {devices}"
        assert not _WAITING & {str(func).split(".")[1]}, f"{func} waits for the device"
        return result
