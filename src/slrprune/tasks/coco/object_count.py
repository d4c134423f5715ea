"""By how many objects a loss is divided where several processes share a batch."""

import torch
import torch.distributed as dist
from torch import Tensor


def mean_object_count(count: int | Tensor, device: torch.device) -> Tensor | int:
    """The mean number of objects of a process: the mean of losses divided by it is the loss of the whole batch.

    Divided by its own number, a process with few objects would weigh each of them more. Where torch.distributed is
    initialized all its processes must call this together; the answer is not read back from the device.

    Args:
        count: objects in this process's part of the batch, or cells that answer for them; a tensor is 0-dim.
        device: where the loss is computed.

    Returns:
        The objects of all processes, at least 1, over the number of processes.
    """
    if not _is_shared():
        return count.clamp(min=1) if isinstance(count, Tensor) else max(1, count)
    total = count.float() if isinstance(count, Tensor) else torch.full((), float(count), device=device)
    # The least of 1 is that of the sum, not of the mean: one object among four processes counts once, as in one.
    return sum_over_processes(total).clamp(min=1) / dist.get_world_size()


def sum_over_processes(value: Tensor) -> Tensor:
    """The sum of the processes' values, without a gradient; called by all of them together."""
    total = value.detach().clone()
    if _is_shared():
        dist.all_reduce(total)
    return total


def _is_shared() -> bool:
    return dist.is_available() and dist.is_initialized()
