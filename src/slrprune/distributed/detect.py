"""Which world a model lives in, seen from the model."""

import sys

import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from slrprune.distributed.dtensors import is_dtensor
from slrprune.distributed.replicas import Replicas
from slrprune.distributed.shards import reshard, shards_of
from slrprune.distributed.world import ALONE, World
from slrprune.errors import ArgumentError, UsageError


def world_of(model: nn.Module, given: World | None = None) -> World:
    """DTensor parameters make `Shards`, a `DistributedDataParallel` makes `Replicas`, a single process is `Alone`.

    Args:
        model: as it trains, with its wrappers.
        given: what the user says; taken as it is.

    Raises:
        ArgumentError: `given` is no world.
        UsageError: several processes, and nothing in the model says how they share the work; or FSDP1.
    """
    reshard(model)
    if given is not None:
        if not isinstance(given, World):
            raise ArgumentError("Pruner", "world", given, "must be a slrprune.distributed.World, or None")
        return given
    if not dist.is_available():
        return ALONE
    _refuse_flattened(model)
    for parameter in model.parameters():
        if is_dtensor(parameter):
            return shards_of(parameter)
    for module in model.modules():
        if isinstance(module, DistributedDataParallel):
            return Replicas(module.process_group)
    if dist.is_initialized() and dist.get_world_size() > 1:
        problem = f"{dist.get_world_size()} processes run, but the model is neither wrapped in DDP nor sharded"
        way_out = "Build the pruner last, on the wrapped model; or pass world=Replicas() or world=Alone()."
        raise UsageError("Pruner", problem, way_out)
    return ALONE


def _refuse_flattened(model: nn.Module) -> None:
    if "torch.distributed.fsdp" not in sys.modules:
        return
    from torch.distributed.fsdp import FullyShardedDataParallel

    if any(isinstance(module, FullyShardedDataParallel) for module in model.modules()):
        problem = "FullyShardedDataParallel flattens the weights, so that no pattern can be seen in them"
        raise UsageError("Pruner", problem, "Use FSDP2, torch.distributed.fsdp.fully_shard.")
