"""What pruning costs beside training: a step with the pruner over one without, and the memory kept for each weight.

    taskset -c 1 chrt -f 50 python benchmarks/overhead.py --threads 1 --out benchmarks/results/overhead.json

`SLR()` as it comes, with its update at every step, global 90%. Goals: a ratio of at most 1.03 for ResNet-20 on batches
of 128 CIFAR-10-sized images and of at most 1.05 for a transformer of MiniLM's size on batches of 16; at most 5 bytes
for each pruned weight, in float32 and bfloat16. Needs the extra `transformers`.
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

BATCH, SPARSITY, WARMUP = 128, 0.9, 2
METHODS = (SLR(), ClassicSLR(), ADMM(), QuadraticPenalty(), GradualMagnitude(), OneShot())


class ResNet:
    """ResNet-20 on batches of 128 CIFAR-10-sized images, with the optimizer that is usual for it."""

    name = f"ResNet-20, batch {BATCH} of 3x32x32"

    def __init__(self) -> None:
        self.model = ResNetCifar(20)
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4
        )
        self.images, self.labels = torch.randn(BATCH, 3, 32, 32), torch.randint(10, (BATCH,))

    def loss(self) -> torch.Tensor:
        return nn.functional.cross_entropy(self.model(self.images), self.labels)


class MiniLM:
    """A classifier of the size of all-MiniLM-L6-v2 on batches of 16 sentences of 128 tokens, under AdamW."""

    name = "BERT of MiniLM-L6's size (22.7 M parameters), batch 16 of 128 tokens"

    def __init__(self) -> None:
        from transformers import BertConfig, BertForSequenceClassification

        config = BertConfig(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536)
        self.model = BertForSequenceClassification(config)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=2e-5)
        self.tokens, self.labels = torch.randint(30_000, (16, 128)), torch.randint(2, (16,))

    def loss(self) -> torch.Tensor:
        return self.model(input_ids=self.tokens, labels=self.labels).loss


class Step:
    """One step of training, with its own model, optimizer and data; notes how long the pruner's part took."""

    def __init__(self, kind: type[ResNet] | type[MiniLM], autocast: bool, with_pruner: bool, steps: int) -> None:
        torch.manual_seed(0)
        self.work, self.autocast, self.pruner = kind(), autocast, None
        if with_pruner:
            self.pruner = Pruner(self.work.model, self.work.optimizer, Global(SPARSITY), total_steps=steps)
        self.milliseconds: list[float] = []
        self.pruner_milliseconds: list[float] = []

    def __call__(self) -> None:
        begin = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16) if self.autocast else nullcontext():
            loss = self.work.loss()
        self.work.optimizer.zero_grad()
        loss.backward()
        self.work.optimizer.step()
        if self.pruner is not None:
            start = time.perf_counter()
            self.pruner.step(loss)
            self.pruner_milliseconds.append(1e3 * (time.perf_counter() - start))
        self.milliseconds.append(1e3 * (time.perf_counter() - begin))


def training(rounds: int, bfloat16: bool) -> dict[str, object]:
    """Milliseconds of a step with and without the pruner, for each network and arithmetic.

    `ratio` is the median over the rounds, in each of which both steps were made one after the other; `ratio_by_parts`
    adds the median of the pruner's own part to the step without, and is the steadier of the two on a busy machine.
    """
    found: dict[str, object] = {}
    for kind, autocast in ((ResNet, False), *([(ResNet, True)] if bfloat16 else []), (MiniLM, False)):
        steps = {which: Step(kind, autocast, which == "with", rounds) for which in ("without", "with")}
        times = interleaved(steps, rounds=rounds, warmup=WARMUP)
        pairs = zip(steps["with"].milliseconds[WARMUP:], steps["without"].milliseconds[WARMUP:], strict=True)
        part = statistics.median(steps["with"].pruner_milliseconds[WARMUP:])
        found[f"{kind.name}, {'bfloat16 autocast' if autocast else 'float32'}"] = {
            "milliseconds": {**times, "pruner": round(part, 3)},
            "rounds": rounds,
            "ratio": round(statistics.median(one / other for one, other in pairs), 4),
            "ratio_by_parts": round(1 + part / times["without"], 4),
            "goal": 1.05 if kind is MiniLM else 1.03,
        }
        del steps
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
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="numbers of threads to measure at")
    parser.add_argument("--rounds", type=int, default=21, help="measured training steps of each kind")
    parser.add_argument("--no-bfloat16", action="store_true", help="for a CPU that can only emulate it, at a crawl")
    arguments = parser.parse_args()
    result = {
        "benchmark": "overhead",
        "method": repr(SLR()),
        "rules": repr(Global(SPARSITY)),
        "machine": machine(),
        "training_step_by_threads": at_threads(
            tuple(arguments.threads), lambda: training(arguments.rounds, not arguments.no_bfloat16)
        ),
        "pruner_step_milliseconds_by_threads": at_threads(tuple(arguments.threads), pruner_alone),
        "bytes_kept_per_pruned_weight": memory(),
        "load_average_1min_at_the_end": machine()["load_average_1min"],
    }
    write(result, arguments.out)


if __name__ == "__main__":
    main()
