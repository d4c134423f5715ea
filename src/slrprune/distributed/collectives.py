"""The three collective calls, counted."""

import torch
import torch.distributed as dist
from torch import Tensor

from slrprune.distributed.world import Traffic


def summed(values: Tensor, group: "dist.ProcessGroup", traffic: Traffic) -> Tensor:
    """Sum over the group, a new tensor."""
    ranks = group.size()
    if ranks == 1:
        return values
    on_wire = _for_wire(values, group)
    traffic.note_sum(on_wire, ranks)
    dist.all_reduce(on_wire, group=group)
    return on_wire.to(values.device)


def gathered(values: Tensor, group: "dist.ProcessGroup", traffic: Traffic) -> Tensor:
    """The values of all ranks of the group, (ranks, *shape), by rank."""
    ranks = group.size()
    if ranks == 1:
        return values.unsqueeze(0)
    on_wire = _for_wire(values, group)
    traffic.note_gathering(on_wire, ranks)
    parts = [torch.empty_like(on_wire) for _ in range(ranks)]
    dist.all_gather(parts, on_wire, group=group)
    return torch.stack(parts).to(values.device)


def differing(values: Tensor, group: "dist.ProcessGroup", traffic: Traffic) -> Tensor:
    """Where int64 values are not the same on all ranks of the group; bool."""
    ranks = group.size()
    if ranks == 1:
        return torch.zeros_like(values, dtype=torch.bool)
    # ~v falls as v grows, without overflow: one call finds the least and the greatest.
    on_wire = _for_wire(torch.stack([values, ~values]), group)
    traffic.note_sum(on_wire, ranks)
    dist.all_reduce(on_wire, op=dist.ReduceOp.MAX, group=group)
    return (on_wire[0] != ~on_wire[1]).to(values.device)


def _for_wire(values: Tensor, group: "dist.ProcessGroup") -> Tensor:
    """A contiguous copy on a device that the group's backend serves: the CPU's weights may train on an accelerator."""
    served = [device.type for device in group._device_types]
    kind = values.device.type
    device = values.device if kind in served else torch.device(served[0])
    return values.detach().contiguous().to(device, copy=True)
