"""DTensors, recognised without importing what a single process does not need."""

import torch
from torch import Tensor


def is_dtensor(tensor: Tensor) -> bool:
    """Whether `tensor`, or the data of a parameter, is a DTensor."""
    if type(tensor.data) is Tensor or not torch.distributed.is_available():
        return False
    from torch.distributed.tensor import DTensor  # slow to import; whoever made a DTensor has done so already

    return isinstance(tensor, DTensor)
