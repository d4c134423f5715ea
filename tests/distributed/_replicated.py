"""Scenarios under DistributedDataParallel, run by every rank of `ranks.run`; test_distributed.py reads the outcome."""

from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from ranks import refused
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from slrprune import ADMM, SLR, ClassicSLR, Column, Global, GradualMagnitude, Pruner, Unstructured
from slrprune.distributed import Alone, Replicas
from slrprune.distributed.agreement import refuse_disagreement
from slrprune.errors import ArgumentError, NonFiniteError, RankError, UsageError

STEPS, BATCH = 6, 8


def net() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(12, 9), nn.Tanh(), nn.Linear(9, 3)).double()


def batch(step: int) -> Tensor:
    return torch.randn(BATCH, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(step))


def make(model: nn.Module, method: Any, rules: Any = None, **options: Any) -> tuple[Pruner, torch.optim.Optimizer]:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    rules = Global(0.7) if rules is None else rules
    return Pruner(model, optimizer, rules, total_steps=STEPS, method=method, **options), optimizer


def train(pruner: Pruner, optimizer: torch.optim.Optimizer, rank: int, size: int) -> None:
    for step in range(STEPS):
        optimizer.zero_grad()
        loss = (pruner.model(batch(step).chunk(size)[rank]) - 1).square().mean()
        (loss + pruner.penalty() if pruner.method.is_coupled else loss).backward()
        optimizer.step()
        pruner.step(loss)


def groups() -> list[Any]:
    """All four ranks, and pairs that train for themselves."""
    pairs = [dist.new_group([0, 1]), dist.new_group([2, 3])]
    return [dist.group.WORLD, pairs[dist.get_rank() // 2]]


def from_all(value: Any, group: Any = None) -> list[Any]:
    found: list[Any] = [None] * dist.get_world_size(group)
    dist.all_gather_object(found, value, group=group)
    return found


METHODS = [
    SLR(),
    SLR(tolerance=0.0, interval=2),
    ClassicSLR(interval=2),
    ADMM(interval=2, coupled=True),
    GradualMagnitude(interval=2),
]


def scenario_replicas_end_alike_and_as_one_process(folder: Path) -> None:
    for group in groups():
        rank, size = dist.get_rank(group), dist.get_world_size(group)
        for method in METHODS:
            one, one_optimizer = make(net(), method, world=Alone())
            train(one, one_optimizer, 0, 1)
            model = net()
            if rank:
                with torch.no_grad():  # DDP sends the first rank's weights to all
                    model[0].weight.add_(1.0)
            some, optimizer = make(DistributedDataParallel(model, process_group=group), method, read_every=2)
            assert isinstance(some.world, Replicas)
            assert some.world.size == size
            train(some, optimizer, rank, size)
            one.finalize()
            some.finalize()
            bits = [parameter.detach().numpy().tobytes() for parameter in model.parameters()]
            assert all(other == bits for other in from_all(bits, group))
            for here, there in zip(model.parameters(), one.model.parameters(), strict=True):
                assert torch.allclose(here, there, rtol=1e-9, atol=1e-12), method
                assert torch.equal(here == 0, there == 0), method
            for here, there in zip(some.records(), one.records(), strict=True):
                assert abs(here.loss - there.loss) <= 1e-9 * abs(there.loss)


def scenario_a_replica_of_its_own_opinion(folder: Path) -> None:
    pruner, optimizer = make(DistributedDataParallel(net()), ClassicSLR(interval=1), read_every=2)
    for step in range(STEPS):
        optimizer.zero_grad()
        (pruner.model(batch(step).chunk(4)[dist.get_rank()]) - 1).square().mean().backward()
        optimizer.step()
        opinion = -4 if dist.get_rank() == 3 else dist.get_rank() + 1  # the sum of the four is 2
        pruner.step(opinion * (-10.0) ** step)
    first = [record.first_condition for record in pruner.records()]
    assert all(other == first for other in from_all(first))
    assert set(first) == {0.0, 1.0}
    pruner.finalize()
    nnz = {name: mask.tolist() for name, mask in pruner.masks().items()}
    assert all(other == nnz for other in from_all(nnz))


def scenario_probe_is_averaged(folder: Path) -> None:
    probe = lambda: torch.tensor(float(dist.get_rank()))  # noqa: E731
    pruner, _ = make(DistributedDataParallel(net()), ClassicSLR(interval=1), probe=probe)
    pruner.step(0.0)
    assert pruner.records()[0].loss == 1.5


def scenario_nan_on_one_replica(folder: Path) -> None:
    pruner, _ = make(DistributedDataParallel(net()), SLR())
    pruner.step(1.0)
    with refused(NonFiniteError, "at or before step 2"):
        pruner.step(float("inf") if dist.get_rank() == 1 else 1.0)
    assert pruner.steps == 1


def scenario_masks_that_differ_are_an_error(folder: Path) -> None:
    masks = [torch.ones(3, 5, dtype=torch.bool), torch.ones(2, 9, dtype=torch.bool)]
    scalars = {"fast": torch.tensor(float("nan"), dtype=torch.float64), "clock": torch.zeros((), dtype=torch.float64)}
    world = Replicas()
    refuse_disagreement(world, "here", ["a", "b"], masks, scalars)
    if dist.get_rank() == 2:
        masks[1][1, 3] = False
    with refused(RankError, "here: the masks of b are not the same on all ranks"):
        refuse_disagreement(world, "here", ["a", "b"], masks, scalars)
    masks[1][1, 3] = True
    scalars["clock"] += dist.get_rank() == 3
    with refused(RankError, "the value of clock"):
        refuse_disagreement(world, "here", ["a", "b"], masks, scalars)


def scenario_weights_that_differ_are_noticed_within_a_read_out(folder: Path) -> None:
    """Ranks whose weights were not the same to begin with: what DDP forbids, and a world that is only said to be."""
    model = net()
    with torch.no_grad():
        model[2].weight.mul_(torch.randn(3, 9, generator=torch.Generator().manual_seed(dist.get_rank())))
    pruner, _ = make(model, GradualMagnitude(interval=1), Unstructured(0.5), world=Replicas(), read_every=3)
    pruner.step(1.0)
    pruner.step(1.0)
    with refused(RankError, "at step 3", "2.weight"):
        pruner.step(1.0)


def scenario_traffic_of_replicas(folder: Path) -> None:
    pruner, _ = make(DistributedDataParallel(net()), SLR(), Column(0.5))
    before = pruner.world.traffic.payload
    pruner.step(1.0)
    assert pruner.world.traffic.payload - before == 16
    assert pruner.world.traffic.sent == 2 * 3 / 4 * pruner.world.traffic.payload


def scenario_which_world(folder: Path) -> None:
    model = net()
    with refused(UsageError, "4 processes run"):
        make(model, SLR())
    with refused(ArgumentError, "must be a slrprune.distributed.World"):
        make(model, SLR(), world=4)
    assert make(model, SLR(), world=Alone())[0].world.size == 1
    inside = nn.Sequential(DistributedDataParallel(net()))
    assert make(inside, SLR())[0].world.size == 4
    preview = make(DistributedDataParallel(net()), ADMM(interval=1))[0].preview()
    assert sum(int((p == 0).sum()) for p in preview.parameters()) > 50
