"""Scenarios under FSDP2, run by every rank of `ranks.run`: states on other ranks, and what is refused."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from ranks import refused
from sharded_net import STEPS, Net, full, make, meshes, net, train
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import Shard

from slrprune import (
    NM,
    SLR,
    Block,
    ClassicSLR,
    Column,
    Global,
    Pruner,
)
from slrprune.distributed import Alone
from slrprune.errors import ShapeError, StateError, UsageError


def scenario_resumed_on_other_ranks(folder: Path) -> None:
    """Saved by two, resumed by four and by one, and back: the run goes on as if nothing had happened."""
    made = meshes()
    runs: tuple[tuple[str, Any, Callable[[], Any]], ...] = (
        ("slr", Global(0.7), SLR),
        ("nm", {"conv": NM(2, 4)}, lambda: SLR(interval=2)),  # saved between two updates, with thresholds of entries
        ("classic", Global(0.7), lambda: ClassicSLR(interval=1)),
    )
    for run, rules, method in runs:
        whole, whole_optimizer = make(None, rules, method())
        train(whole, whole_optimizer, None, range(STEPS))
        expected = [parameter.detach().clone() for parameter in whole.model.parameters()]
        first, first_optimizer = make(made["two"], rules, method())
        train(first, first_optimizer, made["two"], range(3))
        pair = dist.get_rank() // 2
        place = folder / f"{run}_{pair}"
        dcp.save(_saved(first, first_optimizer), checkpoint_id=place, process_group=made["two"].get_group())
        dist.barrier()
        for mesh in (made["four"], None, made["square"]):
            place = folder / f"{run}_0"
            pruner, optimizer = make(mesh, rules, method())
            _warm(pruner, optimizer)
            state = _saved(pruner, optimizer)
            if mesh is None:
                with warnings.catch_warnings():
                    warnings.filterwarnings("ignore", message="torch.distributed is disabled")
                    dcp.load(state, checkpoint_id=place, no_dist=True)
            else:
                dcp.load(state, checkpoint_id=place)
            pruner.model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
            pruner.load_state_dict(state["pruner"])
            assert pruner.steps == 3
            assert repr(pruner.records()) == repr(first.records())
            assert pruner._state.scalars == first._state.scalars
            train(pruner, optimizer, mesh, range(3, STEPS))
            for here, there in zip(pruner.model.parameters(), expected, strict=True):
                assert torch.allclose(full(here), there, rtol=1e-9, atol=1e-12)
            dist.barrier()


def _saved(pruner: Pruner, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    return {
        "model": pruner.model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "pruner": pruner.state_dict(),
    }


def _warm(pruner: Pruner, optimizer: torch.optim.Optimizer) -> None:
    """Momentum buffers exist only after a step, and what is loaded must exist."""
    for parameter in pruner.model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    optimizer.zero_grad()


def scenario_a_state_of_other_ranks_is_refused(folder: Path) -> None:
    made = meshes()
    one, _ = make(None, Global(0.7))
    two, _ = make(made["two"], Global(0.7))
    four, _ = make(made["four"], Global(0.7))
    way_out = "torch.distributed.checkpoint"
    with refused(StateError, "saved by 1 processes", "cut over 4", way_out):
        four.load_state_dict(one.state_dict())
    with refused(StateError, "saved by 2 processes", "cut over 4", way_out):
        four.load_state_dict(two.state_dict())
    with refused(StateError, "saved by 4 processes", way_out):
        one.load_state_dict(four.state_dict())
    two.load_state_dict(two.state_dict())


def scenario_refusals(folder: Path) -> None:
    four = meshes()["four"]
    rest: dict[str, Any] = {"*": None}
    with refused(ShapeError, "hidden.weight", "Block((3, 1))", "slices of 2 rows on 4 ranks"):
        make(four, {"hidden": Block((3, 1), 0.5)})
    with refused(ShapeError, "hidden.weight", "NM(1, 3) along dim 0", "slices of 2 rows on 4 ranks"):
        make(four, {"hidden": NM(1, 3, dim=0), **rest})
    with refused(ShapeError, "hidden.weight", "along dim 0"):
        make(four, {"hidden": Column(0.5) & NM(1, 3, dim=0)})
    with refused(UsageError, "conv.weight", "LAMP()", "not available for weights cut over 4 ranks", "'magnitude'"):
        make(four, Global(0.5, allocation="lamp"))
    with refused(UsageError, "conv.weight", "Global(macs=2000)", "sparsity, params or bytes"):
        make(four, Global(macs=2000, example_input=torch.zeros(1, 4, 5, 5)))
    with refused(UsageError, "4 processes run", "Build the pruner last"):
        Pruner(net(None), torch.optim.SGD(net(None).parameters(), lr=0.1), Global(0.5), total_steps=4)
    model = net(None)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    pruner = Pruner(model, optimizer, Global(0.5), total_steps=4, world=Alone())
    fully_shard(model, mesh=four)
    with refused(UsageError, "was replaced", "Build the pruner last"):
        pruner.step(1.0)
    with refused(Exception, "Build the optimizer after fully_shard"):
        Pruner(model, optimizer, Global(0.5), total_steps=4)
    columns = nn.Linear(8, 8, bias=False)
    fully_shard(columns, mesh=four, shard_placement_fn=lambda parameter: Shard(1))
    with refused(UsageError, "which is not one Shard(0)"):
        Pruner(columns, torch.optim.SGD(columns.parameters(), lr=0.1), Global(0.5), total_steps=4)
    part = Net()
    fully_shard(part.conv, mesh=four)
    with refused(UsageError, "hidden.weight", "Shard the whole model with one mesh"):
        Pruner(part, torch.optim.SGD(part.parameters(), lr=0.1), Global(0.5), total_steps=4)
