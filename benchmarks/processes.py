"""How far two processes (gloo, DistributedDataParallel) get from one that trains on the same batches.

    python benchmarks/processes.py --out benchmarks/results/processes.json

A small network on four clouds of points, `SLR()` at a global budget of 50%, the built-in loop on Accelerate; some steps
of dense training come first. One process and two see the same examples at every step and add up the same gradients in
another order. For each kind of network: the largest difference of a weight after the last step, over all seeds; and
where masks came to differ, the first step and how near to each other the two entries were that changed places. Needs
the extra `train`.
"""

import argparse
import multiprocessing
import os
import socket
import tempfile
from pathlib import Path
from typing import Any

import torch
from _timing import machine, write
from torch import Tensor, nn
from torch.nn import functional as F

from slrprune import SLR, Global, Pruner
from slrprune.distributed import Replicas
from slrprune.tasks import Labelled, SGDRecipe, TensorTask
from slrprune.train import Accelerated, DenseTrainer
from slrprune.train.loop import DataOrder, Loop
from slrprune.train.trainer import PruningTrainer

SPARSITY, SEEDS, EPOCHS = 0.5, 8, 8
KINDS = ("float64", "float32", "float32, BatchNorm")


class Clouds(TensorTask):
    """Four clouds of points in eight dimensions, 96 points in batches of 8."""

    name = "clouds"
    model_name = "mlp"
    dense_recipe = SGDRecipe(epochs=1, lr=0.1)
    pruning_recipe = SGDRecipe(epochs=EPOCHS, lr=0.05)

    def __init__(self, kind: str) -> None:
        generator = torch.Generator().manual_seed(0)
        targets = torch.arange(96) % 4
        points = torch.randn(4, 8, generator=generator)[targets] + 0.5 * torch.randn(96, 8, generator=generator)
        super().__init__({"train": Labelled(points, targets)}, batch_size=8)
        self.kind, self.dtype = kind, torch.float64 if kind == "float64" else torch.float32

    def build_model(self) -> nn.Module:
        """Two layers."""
        between = [nn.BatchNorm1d(16)] if "BatchNorm" in self.kind else []
        return nn.Sequential(nn.Linear(8, 16), *between, nn.ReLU(), nn.Linear(16, 4)).to(self.dtype)

    def loss(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        """In the network's own arithmetic."""
        inputs, targets = batch
        return F.cross_entropy(model(inputs.to(self.dtype)), targets)


def trained(kind: str, seed: int, engine: Accelerated) -> list[dict[str, list[Tensor]]]:
    """Weights, masks and the memory Z + R after every step of pruning."""
    torch.manual_seed(seed)
    task = Clouds(kind)
    model, made, steps = task.build_model(), [], []

    def dense(model: nn.Module, optimizer: torch.optim.Optimizer, _: int) -> DenseTrainer:
        return DenseTrainer(model, optimizer, 0, engine)

    def pruning(model: nn.Module, optimizer: torch.optim.Optimizer, total: int) -> PruningTrainer:
        world = Replicas() if engine.processes > 1 else None
        made.append(Pruner(model, optimizer, Global(SPARSITY), total_steps=total, method=SLR(), world=world))
        return PruningTrainer(optimizer, made[0], engine)

    def note() -> None:
        tensors = made[0].state_dict()["tensors"]
        weights = {name: weight.detach().clone() for name, weight in model.named_parameters()}
        steps.append({"weights": list(weights.values())} | {kind: list(of.values()) for kind, of in tensors.items()})

    Loop(model, task, task.dense_recipe, order=DataOrder(seed), trainer=dense, engine=engine).run()
    Loop(model, task, task.pruning_recipe, order=DataOrder(seed), trainer=pruning, engine=engine).run(on_step=note)
    return steps


def process(rank: int, ranks: int, port: int, path: Path) -> None:
    """What one process does."""
    if ranks > 1:
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(ranks)}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo"}
    torch.set_num_threads(1)
    engine = Accelerated(cpu=True)
    found = {(kind, seed): trained(kind, seed, engine) for kind in KINDS for seed in range(SEEDS)}
    if rank == 0:
        torch.save(found, path)
    os._exit(0)  # without the farewell of a group that the other may have left


def compared(one: list[dict[str, Any]], two: list[dict[str, Any]]) -> dict[str, Any]:
    """Of one seed: the last difference, and the first step at which masks differ."""
    pairs = [list(zip(a["weights"], b["weights"], strict=True)) for a, b in zip(one, two, strict=True)]
    apart = [max(float((x - y).abs().max()) for x, y in pair) for pair in pairs]
    found: dict[str, Any] = {"last": apart[-1]}
    for step, (a, b) in enumerate(zip(one, two, strict=True)):
        kinds = zip(a["memory"], a["mask"], b["mask"], strict=True)
        moved = torch.cat([memory[x != y].abs() for memory, x, y in kinds])
        if len(moved):
            gap = float((moved.max() - moved.min()) / moved.max())
            return found | {"step": step + 1, "entries": len(moved), "gap": gap, "before": apart[max(0, step - 1)]}
    return found


def main() -> None:
    """Runs one process and two, compares, writes one JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=None, help="where the JSON goes; printed in any case")
    arguments = parser.parse_args()
    context = multiprocessing.get_context("fork")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{ranks}.pt" for ranks in (1, 2)]
        for ranks, path in zip((1, 2), paths, strict=True):
            running = [context.Process(target=process, args=(rank, ranks, port, path)) for rank in range(ranks)]
            for entry in running:
                entry.start()
            for entry in running:
                entry.join()
        one, two = (torch.load(path) for path in paths)
    result: dict[str, Any] = {"benchmark": "processes", "method": repr(SLR()), "rules": repr(Global(SPARSITY))}
    result |= {"steps": len(one[KINDS[0], 0]), "seeds": SEEDS, "machine": machine(), "kinds": {}}
    for kind in KINDS:
        seeds = [compared(one[kind, seed], two[kind, seed]) for seed in range(SEEDS)]
        result["kinds"][kind] = {
            "largest_difference_of_a_weight": max(seed["last"] for seed in seeds),
            "seeds_with_other_masks": sum("step" in seed for seed in seeds),
            "by_seed": seeds,
        }
    write(result, arguments.out)


if __name__ == "__main__":
    main()
