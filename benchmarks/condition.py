"""What surrogate condition 1 does for SLR under one global budget: with it, without it, and the rivals, on digits.

    python benchmarks/condition.py --out benchmarks/results/condition.json --into docs/ablation.md

Every run starts from the same dense nets (5 epochs) as those of benchmarks/allocation.py. Judged on validation data.
"""

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import torch
from allocation import dense_start, pruned

import slrprune as slr
from slrprune.compare import insert
from slrprune.machine import describe_machine
from slrprune.tasks import Digits

METHODS: dict[str, slr.Method] = {
    "SLR()": slr.SLR(),
    "SLR(conditional=False)": slr.SLR(conditional=False),
    "dpf: SLR(sigma=1, conditional=False)": slr.SLR(sigma=1.0, conditional=False),
    "GradualMagnitude()": slr.GradualMagnitude(),
}
GROUNDS = tuple((sparsity, epochs) for sparsity in (0.9, 0.95, 0.98) for epochs in (4, 20))


def table(runs: dict[str, dict[str, list[dict[str, Any]]]]) -> str:
    """Means over the seeds, as Markdown: a row for every budget, a column for every method."""
    lines = [f"| budget | {' | '.join(f'`{name}`' for name in METHODS)} |", f"| --- |{' ---: |' * len(METHODS)}"]
    for ground, by_method in runs.items():
        cells = []
        for of_method in by_method.values():
            values = [run["val_accuracy"] for run in of_method]
            cells.append(f"{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f}")
        lines.append(f"| {ground} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measures, records, writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--into", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    task = Digits()
    starts = {seed: dense_start(task, seed) for seed in arguments.seeds}
    runs = {
        f"{100 * sparsity:g}%, {epochs} epochs": {
            name: [pruned(task, starts[seed], slr.Global(sparsity), method, seed, epochs) for seed in starts]
            for name, method in METHODS.items()
        }
        for sparsity, epochs in GROUNDS
    }
    record = {"machine": describe_machine(torch.device("cpu")), "task": "digits", "runs": runs}
    arguments.out.write_text(json.dumps(record, indent=1) + "\n")
    if arguments.into is not None:
        arguments.into.write_text(insert(arguments.into.read_text(), "condition", table(runs), str(arguments.into)))


if __name__ == "__main__":
    main()
