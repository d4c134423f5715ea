"""What pruning costs beside training: a step with the pruner over one without, and the memory kept for each weight.

    python benchmarks/overhead.py --out benchmarks/results/overhead.json

ResNet-20 on batches of 128 CIFAR-10-sized images, global 90%. Goals: a ratio of at most 1.03 for `SLR()` at its default
interval, at 1 and 2 threads, in float32 and under bfloat16 autocast; at most 5 bytes for each pruned float32 weight.
"""

import argparse
import gc
import statistics
import time
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from _timing import at_threads, interleaved, machine, write
from torch import nn

from slrprune import ADMM, SLR, ClassicSLR, Global, GradualMagnitude, OneShot, Pruner, QuadraticPenalty
from slrprune.tasks.resnet_cifar import ResNetCifar

BATCH, SPARSITY = 128, 0.9
METHODS = (SLR(), ClassicSLR(), ADMM(), QuadraticPenalty(), GradualMagnitude(), OneShot())


class Step:
    """One step of training, with its own model, optimizer and data; notes how long the pruner's part took."""

    def __init__(self, autocast: bool, with_pruner: bool, steps: int) -> None:
        torch.manual_seed(0)
        self.model, self.autocast = ResNetCifar(20), autocast
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4
        )
        self.pruner = None
        if with_pruner:
            self.pruner = Pruner(self.model, self.optimizer, Global(SPARSITY), total_steps=steps)
        self.images, self.labels = torch.randn(BATCH, 3, 32, 32), torch.randint(10, (BATCH,))
        self.pruner_milliseconds: list[float] = []

    def __call__(self) -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16) if self.autocast else nullcontext():
            loss = nn.functional.cross_entropy(self.model(self.images), self.labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        if self.pruner is not None:
            start = time.perf_counter()
            self.pruner.step(loss)
            self.pruner_milliseconds.append(1e3 * (time.perf_counter() - start))


def training(rounds: int) -> dict[str, object]:
    """Milliseconds of a step with and without the pruner, for each arithmetic.

    `ratio` divides the two medians. `ratio_by_parts` adds the median of the pruner's own part to the step without; it
    is the steadier of the two where other programs take their share of the machine.
    """
    found: dict[str, object] = {}
    for name, autocast in (("float32", False), ("bfloat16 autocast", True)):
        steps = {kind: Step(autocast, kind == "with", rounds) for kind in ("without", "with")}
        times = interleaved(steps, rounds=rounds, warmup=2)
        part = statistics.median(steps["with"].pruner_milliseconds[2:])
        found[name] = {
            "milliseconds": {**times, "pruner": round(part, 3)},
            "ratio": round(times["with"] / times["without"], 4),
            "ratio_by_parts": round(1 + part / times["without"], 4),
        }
    return found


def pruner_alone() -> dict[str, object]:
    """Milliseconds of `Pruner.step` without training around it: with an update, and between two updates."""
    candidates = {}
    for method in METHODS:
        for when, interval in (("update", 1), ("between", 1_000_000)):
            torch.manual_seed(0)
            model = ResNetCifar(20)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
            kind = replace(method, interval=interval)
            pruner = Pruner(model, optimizer, Global(SPARSITY), total_steps=2_000_001, method=kind)
            candidates[f"{type(method).__name__} {when}"] = partial(pruner.step, 0.5)
    return dict(interleaved(candidates, rounds=41, warmup=5))


def memory() -> dict[str, object]:
    """Bytes kept for each pruned weight, from the storages of all tensors alive before and after."""
    found: dict[str, object] = {}
    for method in METHODS:
        for dtype in (torch.float32, torch.bfloat16):
            torch.manual_seed(0)
            model = ResNetCifar(20).to(dtype)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
            before = _bytes_alive()
            pruner = Pruner(model, optimizer, Global(SPARSITY), total_steps=100, method=method)
            for _ in range(100):
                pruner.step(0.5)
            pruner.records()
            kept = _bytes_alive() - before
            numel = sum(weight.numel() for weight in pruner.problem.weights)
            entry = {"measured": round(kept / numel, 3), "bytes_per_weight": method.bytes_per_weight(dtype)}
            found[f"{type(method).__name__} {str(dtype).removeprefix('torch.')}"] = entry
            del pruner
    return found


def _bytes_alive() -> int:
    gc.collect()
    tensors = [entry for entry in gc.get_objects() if issubclass(type(entry), torch.Tensor)]
    sizes = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(sizes.values())


def main() -> None:
    """Measures everything and writes one JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=None, help="where the JSON goes; printed in any case")
    parser.add_argument("--rounds", type=int, default=21, help="measured training steps of each kind")
    arguments = parser.parse_args()
    result = {
        "benchmark": "overhead",
        "model": "ResNet-20, batch 128 of 3x32x32",
        "machine": machine(),
        "training_step_by_threads": at_threads((1, 2), lambda: training(arguments.rounds)),
        "pruner_step_milliseconds_by_threads": at_threads((1, 2), pruner_alone),
        "bytes_kept_per_pruned_weight": memory(),
        "load_average_1min_at_the_end": machine()["load_average_1min"],
    }
    write(result, arguments.out)


if __name__ == "__main__":
    main()
