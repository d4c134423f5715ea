"""How much faster deployment makes a pruned model: single layers, ResNet-18 end to end, filters removed, never slower.

    taskset -c 1 chrt -f 50 python benchmarks/deploy.py --threads 1 --out benchmarks/results/deploy.json
    python benchmarks/deploy.py --threads 2 --no-compiled --out benchmarks/results/deploy.json  # adds the figures of 2

One thread is judged. All that is compared takes turns in one run, and medians are compared; dense torch is the fastest
of eager, channels_last, BatchNorm folded, and compiled. Masks are random (the largest of normal numbers, layer by
layer, and over all layers) and, for the CIFAR ResNet-20 and in benchmarks/kernels.py, those of trained networks. Beside
a time stands the least that the multiply-adds left would take at the measured rate. Beside CPU torch, timm needs
`PYTHONPATH=dev/sitecustomize`, which says why; `make bench` sets it.
"""

import argparse
import copy
import json
import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import kernels as layers
import torch
from _deploy_models import (
    IMAGE,
    Candidates,
    dense_candidates,
    kill_filters_,
    lively,
    pruned_convolutions,
    remaining_macs,
    resnet18,
    runtime_candidates,
)
from _timing import interleaved, machine, write
from torch import Tensor, nn

from slrprune.cli.cut import cut_by_magnitude_, rules_for
from slrprune.deploy import accelerate, shrink
from slrprune.sets import Block, ConstraintSet, Global, Unstructured
from slrprune.tasks.resnet_cifar import ResNetCifar
from slrprune.tasks.weights_file import load_checkpoint

GOALS = {0.9: 2.5, 0.95: 3.5}
GOAL_AGAINST_RUNTIMES = 1.3
GOALS_OF_FILTERS = {"torch": 4.0, "ONNX Runtime": 9.0}
LEAST = 0.98
KEPT_FILTERS = 0.314  # leaves 10.7% of the parameters


def best(times: Mapping[str, float], *prefixes: str) -> str:
    """The fastest of the candidates whose names begin so."""
    return min((name for name in times if name.startswith(prefixes)), key=times.__getitem__)


def resnet(constraint: ConstraintSet, goal: float, dense: Candidates, rounds: int) -> dict[str, object]:
    """ResNet-18 with all convolutions but the stem pruned, against dense torch and the runtimes in the same run."""
    torch.manual_seed(0)
    model, x = resnet18(), torch.randn(IMAGE)
    convolutions = pruned_convolutions(model)
    for convolution, mask in zip(convolutions, _masks(constraint, convolutions), strict=True):
        convolution.weight.mul_(mask)
    fast, report = accelerate(model, x)
    times = interleaved({**dense, "accelerated": partial(fast, x)}, rounds=rounds, warmup=3)
    torch_best, runtime = best(times, "torch"), best(times, "ONNX", "OpenVINO")
    macs = remaining_macs(model, x)
    least = 1e3 * macs / layers.fma_rate()
    return {
        "milliseconds": times,
        "times_faster_than_torch": round(times[torch_best] / times["accelerated"], 2),
        "goal": goal,
        "best_dense": torch_best,
        "times_faster_than_runtimes": round(times[runtime] / times["accelerated"], 2),
        "goal_against_runtimes": GOAL_AGAINST_RUNTIMES,
        "best_runtime": runtime,
        "relative_difference": report.relative_difference,
        "roofline": {"multiply_adds_left": macs, "milliseconds": round(least, 2)},
        "of_roofline": round(least / times["accelerated"], 3),
        "layers": {row.name: row.chosen for row in report.rows},
    }


def _masks(constraint: ConstraintSet, convolutions: list[nn.Conv2d]) -> list[Tensor]:
    weights = [convolution.weight for convolution in convolutions]
    if constraint.is_joint:
        return constraint.masks(weights)
    return [constraint.masks([weight])[0] for weight in weights]


def end_to_end(rounds: int, with_compiled: bool) -> dict[str, object]:
    """All cuts against the same dense candidates: zeros do not change their times."""
    torch.manual_seed(0)
    model, x = resnet18(), torch.randn(IMAGE)
    dense = dense_candidates(model, x, with_compiled) | runtime_candidates(model, x)
    cuts: dict[str, tuple[ConstraintSet, float]] = {
        "90%, every layer": (Unstructured(0.9), GOALS[0.9]),
        "95%, every layer": (Unstructured(0.95), GOALS[0.95]),
        "90%, one budget over all layers": (Global(0.9), GOALS[0.9]),
        "90%, 4x1 blocks": (Block((4, 1), 0.9), GOALS[0.9]),
    }
    return {name: resnet(constraint, goal, dense, rounds) for name, (constraint, goal) in cuts.items()}


def filters(rounds: int, with_compiled: bool) -> dict[str, object]:
    """ResNet-18 with 10.7% of its parameters left after `shrink`, against dense torch."""
    torch.manual_seed(0)
    model, x = resnet18(), torch.randn(IMAGE)
    dense = dense_candidates(model, x, with_compiled)
    kill_filters_(model, KEPT_FILTERS)
    smaller, report = shrink(model, x)
    small = dense_candidates(smaller, x, with_compiled) | runtime_candidates(smaller, x)
    times = interleaved({**dense, **{f"shrunk, {name}": call for name, call in small.items()}}, rounds=rounds, warmup=3)
    reference = times[best(times, "torch")]
    return {
        "parameters_left": round(report.parameters_after / report.parameters_before, 4),
        "multiply_adds_left": round(report.macs_after / report.macs_before, 4),
        "relative_difference": report.relative_difference,
        "milliseconds": times,
        "best_dense": best(times, "torch"),
        "times_faster_than_torch": {
            name: {"ratio": round(reference / times[best(times, f"shrunk, {name}")], 2), "goal": goal}
            for name, goal in GOALS_OF_FILTERS.items()
        },
    }


def never_slower(rounds: int, data: Path) -> dict[str, object]:
    """Small and large networks in several patterns: accelerated against the faster of eager and channels_last."""
    found: dict[str, object] = {}
    for name, (make, shape) in _networks(data).items():
        for pattern, sparsity in (("unstructured", 0.5), ("unstructured", 0.9), ("2:4", 0.5), ("blocks-4x1", 0.9)):
            torch.manual_seed(0)
            model, x = make(), torch.randn(shape)
            cut_by_magnitude_(model.requires_grad_(True), rules_for(model, pattern, sparsity, []))
            model = model.eval().requires_grad_(False)
            fast, report = accelerate(model, x)
            candidates: Candidates = {"eager": partial(model, x), "accelerated": partial(fast, x)}
            if x.dim() == 4:
                last = copy.deepcopy(model).to(memory_format=torch.channels_last)
                candidates["channels_last"] = partial(last, x.contiguous(memory_format=torch.channels_last))
            times = layers.measure(candidates, rounds)
            ratio = min(time for way, time in times.items() if way != "accelerated") / times["accelerated"]
            found[f"{name}, {pattern} {sparsity:.0%}"] = {
                "times_faster": round(ratio, 3),
                "chosen": report.chosen,
                "milliseconds": times,
            }
    ratios = {name: entry["times_faster"] for name, entry in found.items()}
    worst = min(ratios, key=ratios.__getitem__)
    return {
        "goal": LEAST,
        "worst": {worst: ratios[worst]},
        "below": [n for n, r in ratios.items() if r < LEAST],
        **found,
    }


def _networks(data: Path) -> dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]]:
    import timm

    networks: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
        "linear 1024-1024-10, batch 1": (
            lambda: nn.Sequential(nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10)),
            (1, 1024),
        ),
        "linear 1024-1024-10, batch 64": (
            lambda: nn.Sequential(nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10)),
            (64, 1024),
        ),
        "mobilenetv2_100 at 96": (lambda: lively(timm.create_model("mobilenetv2_100")), (1, 3, 96, 96)),
        "mixer_s32_224": (lambda: timm.create_model("mixer_s32_224").eval(), IMAGE),
        "resnet20 at 32": (lambda: lively(ResNetCifar(20)), (1, 3, 32, 32)),
        "resnet20 at 32, batch 16": (lambda: lively(ResNetCifar(20)), (16, 3, 32, 32)),
    }
    checkpoint = data / "cifar10_ckpt" / layers.CHECKPOINTS[0]
    if checkpoint.exists():

        def trained() -> nn.Module:
            model = ResNetCifar(20)
            model.load_state_dict(load_checkpoint(checkpoint))
            return model.eval()

        networks["resnet20 at 32, trained"] = (trained, (1, 3, 32, 32))
    return networks


def main() -> None:
    """Measures at one number of threads, and puts the figures into the record beside those of others."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/deploy.json"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--parts", nargs="+", default=["end_to_end", "filters", "layers", "never_slower"])
    parser.add_argument("--no-compiled", action="store_true", help="leave out torch.compile, which takes minutes")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("SLRPRUNE_DATA", "../shared/data")))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rounds, compiled = arguments.rounds, not arguments.no_compiled
    parts: dict[str, Callable[[], dict[str, object]]] = {
        "end_to_end": lambda: end_to_end(rounds, compiled),
        "filters": lambda: filters(rounds, compiled),
        "layers": lambda: layers.random_masks(layers.JUDGED, rounds, compiled),
        "never_slower": lambda: never_slower(rounds, arguments.data),
    }
    result = json.loads(arguments.out.read_text()) if arguments.out.exists() else {"benchmark": "deploy", "threads": {}}
    for name in arguments.parts:
        start = time.perf_counter()
        with torch.no_grad():
            found = parts[name]()
        found |= {"machine": machine(), "compiled": compiled, "seconds": round(time.perf_counter() - start)}
        result["threads"].setdefault(str(arguments.threads), {})[name] = found
        write(result, arguments.out)  # after every part, so that a run that is stopped leaves something


if __name__ == "__main__":
    main()
