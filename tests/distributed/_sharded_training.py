"""Scenarios under FSDP2, run by every rank of `ranks.run`: what happens in and around a training loop."""

from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from ranks import refused
from sharded_net import STEPS, Net, batch, full, make, meshes, net, train
from torch.distributed.fsdp import fully_shard

from slrprune import (
    ADMM,
    ClassicSLR,
    Global,
    MaskKeeper,
    Pruner,
    apply_masks_,
)
from slrprune.distributed import Shards
from slrprune.errors import NonFiniteError, UsageError


def scenario_a_rank_of_its_own_opinion(folder: Path) -> None:
    """Losses differ by rank, wildly; the conditions are those of the mean, so all decide alike."""
    mesh = meshes()["four"]
    pruner, optimizer = make(mesh, Global(0.7), ClassicSLR(interval=1), read_every=2)
    for step in range(STEPS):
        optimizer.zero_grad()
        (pruner.model(batch(step, mesh)) - 1).square().mean().backward()
        optimizer.step()
        opinion = -4 if dist.get_rank() == 3 else dist.get_rank() + 1  # the sum of the four is 2
        pruner.step(opinion * (-10.0) ** step)
    first = [record.first_condition for record in pruner.records()]
    everywhere: list[Any] = [None] * 4
    dist.all_gather_object(everywhere, (first, [float(v) for v in pruner._state.scalars.values()]))
    assert all(one == everywhere[0] for one in everywhere)
    assert set(first) == {0.0, 1.0}


def scenario_nan_on_one_rank_is_noticed_by_all(folder: Path) -> None:
    mesh = meshes()["four"]
    pruner, _ = make(mesh, Global(0.7))
    pruner.step(1.0)
    with refused(NonFiniteError, "at or before step 2"):
        pruner.step(float("nan") if dist.get_rank() == 2 else 1.0)
    local = pruner.model.conv.weight.to_local()
    if dist.get_rank() == 1:
        with torch.no_grad():
            local[0] = torch.nan
    with refused(NonFiniteError, "at or before step 2"):
        pruner.step(1.0)
    with refused(NonFiniteError, "conv.weight"):
        pruner.finalize()


def scenario_after_an_evaluation(folder: Path) -> None:
    """FSDP2 keeps the root's parameters gathered after a forward pass without a backward pass."""
    mesh = meshes()["four"]
    model = Net().double()
    fully_shard(model, mesh=mesh)  # one group, all in the root
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with torch.no_grad():
        model(batch(0, mesh))
    pruner = Pruner(model, optimizer, Global(0.7), total_steps=4, method=ADMM(interval=1))
    train(pruner, optimizer, mesh, range(2))
    with torch.no_grad():
        before = model(batch(0, mesh))
        with pruner.cut() as cut:
            inside = cut(batch(0, mesh))
            report = pruner.report()
        after = model(batch(0, mesh))
    assert torch.equal(before, after)
    assert not torch.equal(before, inside)
    assert abs(report.sparsity - 0.7) < 0.01
    with refused(UsageError, "cannot be copied", "pruner.cut()"):
        pruner.preview()
    train(pruner, optimizer, mesh, range(2, 4))
    with torch.no_grad():
        model(batch(0, mesh))
        nnz = pruner.finalize().nnz
        final = model(batch(0, mesh))
    assert nnz == pruner.report().nnz == report.nnz
    reference = Net().double()
    with torch.no_grad():
        model.reshard()
        for here, there in zip(reference.parameters(), model.parameters(), strict=True):
            here.copy_(full(there))
    assert torch.allclose(final, reference(batch(0, mesh)))


def scenario_masked_retraining(folder: Path) -> None:
    four = meshes()["four"]
    pruner, optimizer = make(four, Global(0.7))
    train(pruner, optimizer, four, range(STEPS))
    nnz = pruner.finalize().nnz
    masks = pruner.masks()
    for chosen in (None, masks, {name: full(mask) for name, mask in masks.items()}):
        keeper = MaskKeeper(pruner.model, optimizer, chosen)
        for step in range(2):
            optimizer.zero_grad()
            (pruner.model(batch(step, four)) - 1).square().mean().backward()
            optimizer.step()
        keeper.remove()
        assert pruner.report().nnz == nnz
    other, plain, dense = net(four), net(None), net(four)
    with torch.no_grad():
        for parameter in dense.parameters():
            parameter.fill_(1.0)
    pruner.apply_masks_(other)
    for name, parameter in other.named_parameters():
        if name in masks:
            assert not bool((full(parameter) != 0)[~full(masks[name])].any())
    with refused(UsageError, "cut over 4 ranks", "full_tensor"):
        pruner.apply_masks_(plain)
    with refused(UsageError, "no zeros to keep"):
        MaskKeeper(dense, optimizer)
    apply_masks_(plain, {name: full(mask) for name, mask in masks.items()})


def scenario_optimizers(folder: Path) -> None:
    four = meshes()["four"]
    for make_optimizer in (
        lambda p: torch.optim.AdamW(p, lr=0.01, foreach=True),
        lambda p: torch.optim.AdamW(p, lr=0.01, fused=True),
        lambda p: torch.optim.SGD(p, lr=0.01, foreach=False),
    ):
        model = net(four)
        optimizer = make_optimizer(model.parameters())
        pruner = Pruner(model, optimizer, Global(0.7), total_steps=3)
        assert isinstance(pruner.world, Shards)
        train(pruner, optimizer, four, range(3))
        assert abs(pruner.finalize().sparsity - 0.7) < 0.01
