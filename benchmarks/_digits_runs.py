"""Short runs on digits from the same dense nets: what the benchmarks on digits share."""

import argparse
import copy
import json
import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

import slrprune as slr
from slrprune.compare import insert
from slrprune.machine import describe_machine
from slrprune.rules import Rules
from slrprune.tasks import Digits, SGDRecipe
from slrprune.tasks.recipe import Recipe
from slrprune.train import PruningTrainer, train

Runs = Mapping[str, Mapping[str, list[dict[str, Any]]]]
"""What `pruned` gave, for every row and column of the table."""


def read_arguments(doc: str | None) -> argparse.Namespace:
    """Seeds, where the record goes, and into which page the table."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--into", type=Path)
    return parser.parse_args()


def dense_starts(task: Digits, seeds: Iterable[int]) -> dict[int, nn.Module]:
    """A network of 5 epochs for every seed."""
    starts = {}
    for seed in seeds:
        torch.manual_seed(seed)
        model = starts[seed] = task.build_model()
        train(model, task, SGDRecipe(epochs=5, lr=0.1, weight_decay=5e-4), seed=seed)
    return starts


def prune_copy(task: Digits, dense: nn.Module, seed: int, rules: Rules, method: slr.Method, epochs: int) -> slr.Pruner:
    """The pruner of a copy of `dense`, trained and cut."""
    recipe = SGDRecipe(epochs=epochs, lr=0.05, weight_decay=5e-4)
    return prune_copy_by(recipe, task, copy.deepcopy(dense), seed, rules, method)


def prune_copy_by(
    recipe: Recipe, task: Digits, model: nn.Module, seed: int, rules: Rules, method: slr.Method
) -> slr.Pruner:
    """The pruner of `model`, trained by `recipe` and cut."""

    def trainer(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> PruningTrainer:
        return PruningTrainer(optimizer, slr.Pruner(model, optimizer, rules, total_steps=steps, method=method))

    made = train(model, task, recipe, seed=seed, trainer=trainer).trainer
    made.finalize()
    return made.pruner


def pruned(
    task: Digits, starts: Mapping[int, nn.Module], rules: Rules, method: slr.Method, epochs: int
) -> list[dict[str, Any]]:
    """For every dense start its accuracy right after the cut, and what is left of every layer."""
    runs = []
    for seed, dense in starts.items():
        model = prune_copy(task, dense, seed, rules, method, epochs).model
        left = {name: int(weight.count_nonzero()) for name, weight in model.named_parameters() if weight.dim() > 1}
        runs.append({"seed": seed, "val_accuracy": round(task.evaluate(model, "val"), 3), "weights_left": left})
    return runs


def to_markdown(head: str, columns: Iterable[str], runs: Runs, metric: str = "val_accuracy") -> str:
    """Means and standard deviations over the seeds: `head` stands over the names of the rows."""
    names = list(columns)
    lines = [f"| {head} | {' | '.join(names)} |", f"| --- |{' ---: |' * len(names)}"]
    for row, by_method in runs.items():
        cells = []
        for of_method in by_method.values():
            values = [run[metric] for run in of_method]
            cells.append(f"{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f}")
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(lines)


def keep(record: Mapping[str, Any], table: str, marker: str, arguments: argparse.Namespace) -> None:
    """Writes the record, with the machine, and the table into its page."""
    machine = describe_machine(torch.device("cpu"))
    arguments.out.write_text(json.dumps({"machine": machine, "task": "digits", **record}, indent=1) + "\n")
    if arguments.into is not None:
        arguments.into.write_text(insert(arguments.into.read_text(), marker, table, str(arguments.into)))
