"""The collapse that SLR's rule for units prevents: one budget of 98 % for all layers, on real data."""

import torch

from slrprune import SLR, Global, Pruner
from slrprune.tasks import Digits, SGDRecipe
from slrprune.train import PruningTrainer, train


def test_trust_keeps_one_global_budget_from_starving_the_classifier() -> None:
    task = Digits()
    left, accuracy = {}, {}
    for method in (SLR(), SLR(trust=None)):
        torch.manual_seed(0)
        model = task.build_model()
        train(model, task, SGDRecipe(epochs=5, lr=0.1, weight_decay=5e-4))
        recipe = SGDRecipe(epochs=4, lr=0.05, weight_decay=5e-4)

        def pruning(model, optimizer, steps, method=method):
            return PruningTrainer(optimizer, Pruner(model, optimizer, Global(0.98), total_steps=steps, method=method))

        train(model, task, recipe, trainer=pruning).trainer.finalize()
        left[method.trust] = int(model.linear.weight.count_nonzero())
        accuracy[method.trust] = task.evaluate(model, "val")
    assert left[SLR().trust] > 300, left  # of 640
    assert accuracy[SLR().trust] > 85, accuracy
    assert left[None] < 10, left  # if this ever fails, docs/ablation.md needs new figures
