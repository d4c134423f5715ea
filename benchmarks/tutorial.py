"""Runs the program of docs/tutorial.md with several seeds, records what came out, and writes the page's table.

python benchmarks/tutorial.py --seeds 0 1 2 --out benchmarks/results/tutorial.json --into docs/tutorial.md
"""

import argparse
import contextlib
import io
import json
import os
import re
import statistics
import tempfile
from pathlib import Path
from typing import Any

import torch

from slrprune.compare import insert
from slrprune.machine import describe_machine

PAGE = Path(__file__).parents[1] / "docs" / "tutorial.md"
FENCE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def run(seed: int) -> dict[str, Any]:
    """The names that the page's program leaves, run in a temporary folder."""
    code = "\n".join(FENCE.findall(PAGE.read_text())).replace("torch.manual_seed(0)", f"torch.manual_seed({seed})")
    names: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()):
        exec(compile(code, str(PAGE), "exec"), names)
    return names


def measured(seed: int) -> dict[str, Any]:
    """The figures of one seed."""
    names = run(seed)
    timing = names["timing"]
    return {
        "seed": seed,
        "dense_accuracy": round(names["dense_accuracy"], 3),
        "accuracy_after_cut": round(names["pruned_accuracy"], 3),
        "sparsity": names["report"].sparsity,
        "dense_bytes": names["dense_bytes"],
        "sparse_bytes": names["sparse_bytes"],
        "microseconds": {name: round(time, 1) for name, time in timing.totals.items()},
        "chosen": {row.name: row.chosen for row in timing.rows},
        "times_faster": round(timing.totals["original"] / timing.totals[timing.chosen], 3),
    }


def table(runs: list[dict[str, Any]]) -> str:
    """Means and spreads over the seeds, as Markdown."""

    def spread(key: str) -> str:
        values = [run[key] for run in runs]
        return f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f} %"

    smaller = statistics.mean(run["dense_bytes"] / run["sparse_bytes"] for run in runs)
    faster = sorted(run["times_faster"] for run in runs)
    rows = [
        ("test accuracy, dense", spread("dense_accuracy")),
        ("test accuracy after the cut", spread("accuracy_after_cut")),
        ("zeros in the pruned layers", f"{runs[0]['sparsity']:.1%}"),
        ("file", f"{smaller:.1f}x smaller"),
        ("one image, one thread", f"{faster[0]:.1f}x to {faster[-1]:.1f}x faster than torch eager"),
    ]
    return "\n".join(["| what | measured |", "| --- | ---: |", *(f"| {what} | {value} |" for what, value in rows)])


def main() -> None:
    """Measures, records, writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--into", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    runs = [measured(seed) for seed in arguments.seeds]
    machine = describe_machine(torch.device("cpu")) | {"load_average_1min": os.getloadavg()[0]}
    arguments.out.write_text(json.dumps({"machine": machine, "runs": runs}, indent=2) + "\n")
    if arguments.into is not None:
        arguments.into.write_text(insert(arguments.into.read_text(), "tutorial", table(runs), str(arguments.into)))


if __name__ == "__main__":
    main()
