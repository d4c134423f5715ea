"""What runs on each of four processes; see test_processes.py."""

from pathlib import Path

import torch
import torch.distributed as dist
from ranks import refused
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from slrprune import SLR, Global, RelaxedPath
from slrprune.adapters.hosted import HostedPruning
from slrprune.errors import UsageError

METHOD = SLR(ramp=RelaxedPath(slack=0.25), tolerance=0.0)  # decides on the loss


def _model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4))


def scenario_an_engine_hands_over_the_model_without_its_wrapper(folder: Path) -> None:
    """As transformers and Lightning do under DDP: all ranks decide on the mean loss, and end with the same bits."""
    model = _model()
    wrapped = DistributedDataParallel(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    pruning = HostedPruning(Global(0.75), method=METHOD)
    pruning._start(model, [optimizer], 8)
    own = []
    for step in range(8):
        inputs = torch.randn(4, 6, generator=torch.Generator().manual_seed(4 * step + dist.get_rank()))
        loss = wrapped(inputs).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        pruning._follow(loss)
        own.append(float(loss.detach()))
    assert pruning._finish().nnz == 20
    losses = [record.loss for record in pruning.pruner.records()]
    said = torch.tensor([*losses, *torch.cat([weight.flatten() for weight in model.parameters()]).tolist()])
    everyone = [torch.empty_like(said) for _ in range(dist.get_world_size())]
    dist.all_gather(everyone, said)
    assert all(torch.equal(one, said) for one in everyone)
    assert losses[0] != own[0]


def scenario_sharded_weights_are_refused(folder: Path) -> None:
    """Before the first step, not at the first checkpoint."""
    model = fully_shard(_model(), mesh=dist.device_mesh.init_device_mesh("cpu", (dist.get_world_size(),)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with refused(UsageError, "sharded weights do not fit the engine's checkpoint", "torch.distributed.checkpoint"):
        HostedPruning(Global(0.75))._start(model, [optimizer], 8)
