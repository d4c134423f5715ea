"""SLR's defaults on seven small networks, with two optimizers, on the test images of digits.

    python benchmarks/breadth.py --seeds 0 1 2 3 4 --out benchmarks/results/breadth.json --into docs/measured.md

Every method prunes copies of the same dense nets (20 epochs) in the same steps, under one global budget. Seed s takes
fold s of the digits, so that over five seeds every image is tested on once. Learning rates are those at which the
dense nets train (SGD's half of them while pruning, AdamW's a third). SLR's default was chosen on the validation images
of these networks, which are test images of the next fold; the table has test accuracy right after the cut.
"""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from _breadth_networks import NETWORKS
from _digits_runs import Runs, keep, prune_copy_by, read_arguments, to_markdown
from torch import nn

import slrprune as slr
from slrprune.tasks import AdamWRecipe, Digits, SGDRecipe
from slrprune.tasks.recipe import Recipe
from slrprune.train import train

METHODS: Mapping[str, slr.Method] = {
    "SLR()": slr.SLR(),
    "jumping": slr.SLR(garrote=None),
    "dpf": slr.SLR(sigma=1.0, trust=None, garrote=None),
    "gradual_magnitude": slr.GradualMagnitude(),
    "GradualMagnitude(interval=10)": slr.GradualMagnitude(interval=10),
}
GROUNDS = (("SGD", 0.95, 4), ("SGD", 0.98, 4), ("AdamW", 0.95, 4))
RATES = {"plain CNN": 0.03, "MLP": 0.05, "transformer": 0.02}
"""Learning rates of SGD for the dense nets where 0.1 is too high."""


class _Digits(Digits):
    """The digits with another network."""

    def __init__(self, network: str, fold: int) -> None:
        super().__init__(fold)
        self.network = network

    def build_model(self) -> nn.Module:
        return NETWORKS[self.network]().to(self.device)


def _recipe(network: str, optimizer: str, epochs: int, *, dense: bool) -> Recipe:
    warmup = 0.1 if dense else 0.0
    if optimizer == "AdamW":
        return AdamWRecipe(epochs=epochs, lr=3e-3 if dense else 1e-3, weight_decay=0.01, warmup=warmup)
    rate = RATES.get(network, 0.1)
    return SGDRecipe(epochs=epochs, lr=rate if dense else rate / 2, weight_decay=5e-4, warmup=warmup)


def _every_matrix(model: nn.Module, sparsity: float) -> dict[str, slr.Global]:
    """One budget for all weights of layers, by name: recurrent ones are left alone otherwise."""
    budget = slr.Global(sparsity)
    return {name: budget for name, p in model.named_parameters() if p.dim() > 1 and name != "places"}


def _dense(network: str, optimizer: str, seed: int) -> tuple[_Digits, nn.Module]:
    task = _Digits(network, seed % 5)
    torch.manual_seed(seed)
    model = task.build_model()
    train(model, task, _recipe(network, optimizer, 20, dense=True), seed=seed)
    return task, model


def _runs(
    network: str, optimizer: str, epochs: int, sparsity: float, method: slr.Method, nets: Mapping[int, Any]
) -> list[dict[str, Any]]:
    found = []
    for seed, (task, dense) in nets.items():
        recipe = _recipe(network, optimizer, epochs, dense=False)
        pruner = prune_copy_by(recipe, task, copy.deepcopy(dense), seed, _every_matrix(dense, sparsity), method)
        accuracies = {f"{split}_accuracy": round(task.evaluate(pruner.model, split), 3) for split in ("val", "test")}
        at_start = round(task.evaluate(dense, "test"), 3)
        found.append({"seed": seed, **accuracies, "dense_test_accuracy": at_start})
    return found


def table(runs: Runs) -> str:
    """A row for every network and budget, a column for the dense nets and one for every method."""
    dense = {row: [{"test_accuracy": run["dense_test_accuracy"]} for run in by["SLR()"]] for row, by in runs.items()}
    columns = ("dense", *(f"`{name}`" if "(" in name else name for name in METHODS))
    return to_markdown(
        "network", columns, {row: {"dense": dense[row], **by} for row, by in runs.items()}, "test_accuracy"
    )


def main() -> None:
    """Measures, records, writes the table."""
    arguments = read_arguments(__doc__)
    torch.set_num_threads(1)
    runs: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for optimizer in dict.fromkeys(ground[0] for ground in GROUNDS):
        for network in NETWORKS:
            nets = {seed: _dense(network, optimizer, seed) for seed in arguments.seeds}
            for of_ground, sparsity, epochs in GROUNDS:
                if of_ground != optimizer:
                    continue
                name = f"{network}, {optimizer}, {100 * sparsity:g}%, {epochs} epochs"
                runs[name] = {
                    key: _runs(network, optimizer, epochs, sparsity, method, nets) for key, method in METHODS.items()
                }
                print(table({name: runs[name]}).splitlines()[-1], flush=True)
    keep({"runs": runs}, table(runs), "breadth", arguments)


if __name__ == "__main__":
    main()
