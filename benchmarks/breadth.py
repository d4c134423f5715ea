"""SLR's defaults on networks that they were not chosen on: digits, seven architectures, two optimizers.

    python benchmarks/breadth.py --seeds 0 1 2 3 4 --out benchmarks/results/breadth.json --into docs/compare.md

Every method prunes copies of the same dense nets (20 epochs) in the same steps, under one global budget. Seed s takes
fold s of the digits, so that over five seeds every image is tested on once. Nothing was tuned: learning rates are
those at which the dense nets train, half of them while pruning. Test accuracy right after the cut.
"""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from _ablation_tried import HalvedSLR
from _breadth_networks import NETWORKS
from _digits_runs import Runs, keep, prune_copy_by, read_arguments, to_markdown
from torch import nn

import slrprune as slr
from slrprune.tasks import AdamWRecipe, Digits, SGDRecipe
from slrprune.tasks.recipe import Recipe
from slrprune.train import train

METHODS: Mapping[str, slr.Method] = {
    "SLR()": slr.SLR(),
    "halved": HalvedSLR(),
    "dpf": slr.SLR(sigma=1.0, tolerance=None, trust=None),
    "gradual_magnitude": slr.GradualMagnitude(),
}
GROUNDS = (("SGD", 0.95, 4), ("SGD", 0.98, 4), ("AdamW", 0.95, 4))
RATES = {"plain CNN": 0.03, "MLP": 0.05, "transformer": 0.02}
"""Learning rates of SGD for the dense nets where 0.1 is too high: networks without BatchNorm."""


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
        model = prune_copy_by(recipe, task, copy.deepcopy(dense), seed, slr.Global(sparsity), method).model
        accuracies = {f"{split}_accuracy": round(task.evaluate(model, split), 3) for split in ("val", "test")}
        found.append({"seed": seed, **accuracies})
    return found


def table(runs: Runs) -> str:
    """A row for every network and budget, a column for every method."""
    return to_markdown("network", (f"`{name}`" if "(" in name else name for name in METHODS), runs, "test_accuracy")


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
