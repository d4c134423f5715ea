"""What keeps SLR from losing a network under one global budget: its rule, those before it, and the rivals, on digits.

    python benchmarks/condition.py --out benchmarks/results/condition.json --into docs/ablation.md

Every run starts from the same dense nets (5 epochs) as those of benchmarks/allocation.py. Judged on validation data.
"""

import torch
from _ablation_tried import BoundedSLR, HalvedSLR, ShortenedSLR, TogetherSLR
from _digits_runs import Runs, dense_starts, keep, pruned, read_arguments, to_markdown

import slrprune as slr
from slrprune.tasks import Digits

METHODS: dict[str, slr.Method] = {
    "SLR()": slr.SLR(),
    "SLR(sigma=0.5)": slr.SLR(sigma=0.5),
    "SLR(trust=2)": slr.SLR(trust=2.0),
    "SLR(trust=10)": slr.SLR(trust=10.0),
    "SLR(tolerance=0.05)": slr.SLR(tolerance=0.05),
    "halved": HalvedSLR(),
    "refused": TogetherSLR(),
    "shortened": ShortenedSLR(sigma=0.5),
    "bounded": BoundedSLR(),
    "dpf": slr.SLR(sigma=1.0, trust=None, garrote=None),
    "gradual_magnitude": slr.GradualMagnitude(),
    "GradualMagnitude(interval=10)": slr.GradualMagnitude(interval=10),
}
GROUNDS = (*((sparsity, epochs) for sparsity in (0.9, 0.95, 0.98) for epochs in (4, 20)), (0.99, 20))


def table(runs: Runs) -> str:
    """A row for every budget, a column for every method."""
    return to_markdown("budget", (f"`{name}`" if "(" in name else name for name in METHODS), runs)


def main() -> None:
    """Measures, records, writes the table."""
    arguments = read_arguments(__doc__)
    torch.set_num_threads(1)
    task = Digits()
    starts = dense_starts(task, arguments.seeds)
    runs = {
        f"{100 * sparsity:g}%, {epochs} epochs": {
            name: pruned(task, starts, slr.Global(sparsity), method, epochs) for name, method in METHODS.items()
        }
        for sparsity, epochs in GROUNDS
    }
    keep({"runs": runs}, table(runs), "condition", arguments)


if __name__ == "__main__":
    main()
