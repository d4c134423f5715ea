"""What one budget over all layers does at 98 % zeros in a very short run, and what helps: a small network, in minutes.

python benchmarks/allocation.py --seeds 0 1 2 --out benchmarks/results/allocation.json --into docs/how_to_choose.md
"""

import argparse
import copy
import json
import statistics
from pathlib import Path
from typing import Any

import torch
from torch import nn

import slrprune as slr
from slrprune.compare import insert
from slrprune.machine import describe_machine
from slrprune.rules import Rules
from slrprune.tasks import Digits, SGDRecipe
from slrprune.train import PruningTrainer, train

SPARSITY, EPOCHS = 0.98, 4
RULES: dict[str, Rules] = {
    "Global(0.98)": slr.Global(SPARSITY),
    'Global(0.98, allocation="lamp")': slr.Global(SPARSITY, allocation="lamp"),
    'Global(0.98, allocation="erk")': slr.Global(SPARSITY, allocation="erk"),
    '{"linear": None, "*": Global(0.98)}': {"linear": None, "*": slr.Global(SPARSITY)},
}
METHODS: dict[str, slr.Method] = {"SLR": slr.SLR(), "GradualMagnitude": slr.GradualMagnitude()}


def dense_start(task: Digits, seed: int) -> nn.Module:
    """A network of 5 epochs."""
    torch.manual_seed(seed)
    model = task.build_model()
    train(model, task, SGDRecipe(epochs=5, lr=0.1, weight_decay=5e-4), seed=seed)
    return model


def pruned(
    task: Digits, dense: nn.Module, rules: Rules, method: slr.Method, seed: int, epochs: int = EPOCHS
) -> dict[str, Any]:
    """Accuracy right after the cut, and what is left of every layer."""
    model = copy.deepcopy(dense)

    def trainer(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> PruningTrainer:
        return PruningTrainer(optimizer, slr.Pruner(model, optimizer, rules, total_steps=steps, method=method))

    recipe = SGDRecipe(epochs=epochs, lr=0.05, weight_decay=5e-4)
    train(model, task, recipe, seed=seed, trainer=trainer).trainer.finalize()
    left = {name: int(weight.count_nonzero()) for name, weight in model.named_parameters() if weight.dim() > 1}
    return {"seed": seed, "val_accuracy": round(task.evaluate(model, "val"), 3), "weights_left": left}


def table(runs: dict[str, dict[str, list[dict[str, Any]]]]) -> str:
    """Means over the seeds, as Markdown."""
    lines = [f"| rules | {' | '.join(METHODS)} |", f"| --- | {' | '.join('---:' for _ in METHODS)} |"]
    for rules, by_method in runs.items():
        cells = []
        for of_method in by_method.values():
            values = [run["val_accuracy"] for run in of_method]
            cells.append(f"{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f}")
        lines.append(f"| `{rules}` | {' | '.join(cells)} |")
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
        name: {
            method: [pruned(task, starts[seed], rules, METHODS[method], seed) for seed in starts] for method in METHODS
        }
        for name, rules in RULES.items()
    }
    machine = describe_machine(torch.device("cpu"))
    record = {"machine": machine, "task": "digits", "sparsity": SPARSITY, "epochs": EPOCHS, "runs": runs}
    arguments.out.write_text(json.dumps(record, indent=1) + "\n")
    if arguments.into is not None:
        arguments.into.write_text(insert(arguments.into.read_text(), "allocation", table(runs), str(arguments.into)))


if __name__ == "__main__":
    main()
