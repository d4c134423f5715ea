"""How long the projections take, as ratios to `torch.kthvalue` and to one pass `w.abs().sum()` over the same weights.

    python benchmarks/projection.py --out benchmarks/results/projection.json

Goals, at 1 and 2 threads: the exact top-k threshold of 25 M float32 at 90% at least 2.5 times faster than kthvalue, and
at most 3.5 passes; KernelPattern on 512 x 512 x 3 x 3 at most 10 passes.
"""

import argparse
from pathlib import Path

import torch
from _timing import at_threads, interleaved, machine, write

from slrprune.sets import NM, Block, Channel, Column, Global, KernelPattern, Unstructured
from slrprune.sets import _topk_cpu as topk

N, SPARSITY = 25_000_000, 0.9
RESNET20 = [(16, 3, 3, 3), *[(16, 16, 3, 3)] * 6, (32, 16, 3, 3), *[(32, 32, 3, 3)] * 5]
RESNET20 += [(64, 32, 3, 3), *[(64, 64, 3, 3)] * 5, (10, 64)]


def threshold() -> dict[str, object]:
    """The exact k-th largest magnitude of 25 M normal numbers, and the mask."""
    weight = torch.randn(N)
    k = N - round(SPARSITY * N)
    times = interleaved(
        {
            "pass": lambda: weight.abs().sum(),
            "kthvalue": lambda: weight.abs().kthvalue(N - k + 1).values,
            "threshold": lambda: topk.kth_key([topk._bits(weight)], k, N),
            "mask": lambda: Unstructured(SPARSITY).select([weight]),
        },
        rounds=7,
    )
    return {
        "milliseconds": times,
        "threshold_times_faster_than_kthvalue": round(times["kthvalue"] / times["threshold"], 2),
        "mask_times_faster_than_kthvalue": round(times["kthvalue"] / times["mask"], 2),
        "threshold_passes": round(times["threshold"] / times["pass"], 2),
        "mask_passes": round(times["mask"] / times["pass"], 2),
    }


def awkward() -> dict[str, object]:
    """The mask of 25 M awkward numbers, in passes over float32."""
    weight = torch.randn(N)
    inputs = {
        "all equal": torch.ones(N),
        "two values": (weight > 0).float(),
        "sorted": weight.sort().values,
        "90% zeros": torch.where(weight.abs() > 1.7, weight, 0),
        "in step with the sample": (torch.arange(N) % (N // topk._SAMPLE)).float(),
        "bfloat16": weight.bfloat16(),
        "float64": weight.double(),
    }
    calls = {name: lambda x=x: Unstructured(SPARSITY).select([x]) for name, x in inputs.items()}
    times = interleaved({"pass": lambda: weight.abs().sum(), **calls}, rounds=3)
    return {name: round(time / times["pass"], 2) for name, time in times.items() if name != "pass"}


def one_layer() -> dict[str, object]:
    """Every pattern on a layer of 512 x 512 x 3 x 3, in passes over it."""
    weight = torch.randn(512, 512, 3, 3)
    sets = [Unstructured(0.9), NM(2, 4), Block((4, 1), 0.9), Channel(0.5), Column(0.9), KernelPattern()]
    calls = {type(s).__name__: lambda s=s: s.select([weight]) for s in sets}
    calls["KernelPattern with connectivity"] = lambda: KernelPattern(connectivity=0.5).select([weight])
    times = interleaved({"pass": lambda: weight.abs().sum(), **calls}, rounds=15)
    passes = {name: round(time / times["pass"], 2) for name, time in times.items() if name != "pass"}
    return {"milliseconds": times, "passes": passes}


def small_network() -> dict[str, object]:
    """Milliseconds for the 20 pruned tensors of ResNet-20, 270 thousand weights, whose projection runs every step."""
    weights = [torch.randn(shape) for shape in RESNET20]
    names = ("magnitude", "lamp", "erk", "uniform")
    calls = {f"Global, {name}": lambda a=name: Global(SPARSITY, allocation=a).select(weights) for name in names}
    calls["Unstructured"] = lambda: Unstructured(SPARSITY).select(weights)
    return dict(interleaved(calls, rounds=51, warmup=3))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="file for the JSON; it is printed in any case")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    arguments = parser.parse_args()
    torch.manual_seed(0)
    result: dict[str, object] = {"machine": machine(), "sparsity": SPARSITY, "numbers": N}
    for part in (threshold, one_layer, small_network, awkward):
        result[f"{part.__name__}_by_threads"] = at_threads(tuple(arguments.threads), part)
    write(result, arguments.out)


if __name__ == "__main__":
    main()
