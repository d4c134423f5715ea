"""How the work of pruning grows with the number of weights.

    python benchmarks/scale.py --out benchmarks/results/scale.json

Goals: the exact global threshold over 100 M weights in at most 3.5 passes over them; a pruner's step that costs 1 M,
10 M and 100 M weights with an exponent of at most 1.05.

Times are CPU time of this process with one thread: other programs on the machine take none of it, though they do take
cache and memory bandwidth. A pass is `w.abs().sum()` over the same weights. Needs about 4 GB.
"""

import argparse
import math
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from _timing import machine, write
from torch import Tensor, nn

from slrprune import ADMM, SLR, Global, GradualMagnitude, Pruner
from slrprune.distributed import Alone
from slrprune.sets import _topk_cpu
from slrprune.sets.ranking import Bag, largest

SPARSITY, MOST = 0.9, 100_000_000
SIZES = (1_000_000, 10_000_000, 100_000_000)
METHODS = {"SLR": SLR(), "GradualMagnitude": GradualMagnitude(interval=1), "ADMM": ADMM(interval=1)}


def cpu_times(candidates: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median CPU time of each in milliseconds; they take turns, after one round that does not count."""
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in range(rounds + 1):
        for name, call in candidates.items():
            start = time.process_time()
            call()
            if turn:
                times[name].append(1e3 * (time.process_time() - start))
    return {name: round(statistics.median(values), 3) for name, values in times.items()}


def tensors(numel: int) -> list[Tensor]:
    """Normal weights of different scales: square tensors of 1 M entries, or fewer, as layers have them."""
    side = 1000
    return [torch.randn(side, side) * 1.2 ** (layer % 4) for layer in range(numel // side**2)]


def threshold(rounds: int) -> dict[str, object]:
    """The exact k-th largest magnitude of 100 M weights in 100 tensors, alone and with the masks."""
    weights = tensors(MOST)
    kept = MOST - round(SPARSITY * MOST)
    flat = [weight.reshape(-1) for weight in weights]
    bag = Bag(weights, kept)
    times = cpu_times(
        {
            "pass": lambda: [weight.abs().sum() for weight in weights],
            "threshold": lambda: _topk_cpu.kth_key([_topk_cpu._bits(weight) for weight in flat], kept, MOST),
            "masks": lambda: Global(SPARSITY, floor=0.0).select(weights),
            "masks of a rank that holds them all": lambda: largest([bag], Alone()),
        },
        rounds,
    )
    passes = {name: round(value / times["pass"], 2) for name, value in times.items() if name != "pass"}
    return {"numel": MOST, "milliseconds": times, "passes": passes, "goal": {"threshold": 3.5}}


def step(numel: int, method: str, rounds: int) -> float:
    """CPU time of one update in milliseconds: a step of the pruner with new masks, without the training around it."""
    layers = nn.Sequential(*[nn.Linear(1, 1, bias=False) for _ in range(numel // 1_000_000)])
    for layer, weight in zip(layers, tensors(numel), strict=True):
        layer.weight = nn.Parameter(weight)
    optimizer = torch.optim.SGD(layers.parameters(), lr=0.01)
    pruner = Pruner(layers, optimizer, Global(SPARSITY), total_steps=10 * rounds + 20, method=METHODS[method])
    return cpu_times({method: lambda: pruner.step(1.0)}, rounds)[method]


def loop(rounds: int) -> dict[str, object]:
    """Cost of an update by the number of weights, and the exponent n of cost = c * weights^n (least squares)."""
    found: dict[str, object] = {}
    for method in METHODS:
        times = {
            size: step(size, method, rounds * (MOST // size if size < MOST else 1) // 10 + rounds) for size in SIZES
        }
        found[method] = {
            "milliseconds": {f"{size:,}": value for size, value in times.items()},
            "nanoseconds_per_weight": {f"{size:,}": round(1e6 * value / size, 2) for size, value in times.items()},
            "exponent": round(_slope([math.log(size) for size in times], [math.log(v) for v in times.values()]), 3),
        }
    return {**found, "goal": {"exponent": 1.05}}


def _slope(x: list[float], y: list[float]) -> float:
    return float(statistics.linear_regression(x, y).slope)


def main() -> None:
    """Measures everything and writes one JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=None, help="where the JSON goes; printed in any case")
    parser.add_argument("--rounds", type=int, default=5, help="measured rounds of the largest size")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    result = {"benchmark": "scale", "machine": machine(), "threads": 1, "sparsity": SPARSITY}
    result |= {"threshold": threshold(arguments.rounds), "loop": loop(arguments.rounds)}
    result["load_average_1min_at_the_end"] = machine()["load_average_1min"]
    write(result, arguments.out)


if __name__ == "__main__":
    main()
