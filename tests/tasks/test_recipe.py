"""Recipes: the schedule at its corners, the optimizers, values out of range."""

import pytest
import torch
from torch import nn

from slrprune.errors import ArgumentError
from slrprune.tasks import AdamWRecipe, SGDRecipe


def test_learning_rate_rises_to_its_peak_and_falls_to_zero():
    recipe = SGDRecipe(epochs=1, lr=0.1, warmup=0.2)
    factors = [recipe.lr_factor(progress) for progress in (0.0, 0.1, 0.2, 0.6, 1.0)]
    assert factors == pytest.approx([0.0, 0.5, 1.0, 0.5, 0.0])


def test_without_warmup_the_first_step_has_the_full_learning_rate():
    assert SGDRecipe(epochs=1, lr=0.1).lr_factor(0.0) == 1.0


def test_scheduler_sets_the_learning_rate_of_the_optimizer():
    recipe = SGDRecipe(epochs=1, lr=0.2)
    optimizer = recipe.optimizer(nn.Linear(2, 2))
    scheduler = recipe.scheduler(optimizer, total_steps=4)
    rates = []
    for _ in range(4):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates == pytest.approx([0.2 * factor for factor in (1.0, 0.853553, 0.5, 0.146447)], rel=1e-5)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.0)


def test_sgd_recipe_makes_nesterov_sgd_of_all_parameters():
    model = nn.Linear(2, 2)
    optimizer = SGDRecipe(epochs=1, lr=0.1, weight_decay=0.01, momentum=0.8).optimizer(model)
    (group,) = optimizer.param_groups
    assert isinstance(optimizer, torch.optim.SGD)
    assert (group["lr"], group["momentum"], group["nesterov"], group["weight_decay"]) == (0.1, 0.8, True, 0.01)
    assert [id(parameter) for parameter in group["params"]] == [id(parameter) for parameter in model.parameters()]


def test_adamw_recipe_makes_adamw():
    optimizer = AdamWRecipe(epochs=1, lr=0.003, weight_decay=0.05).optimizer(nn.Linear(2, 2))
    assert isinstance(optimizer, torch.optim.AdamW)
    assert (optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["weight_decay"]) == (0.003, 0.05)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 0}, r"SGDRecipe\(epochs=0\): epochs must be at least 1\."),
        ({"lr": 0.0}, r"SGDRecipe\(lr=0\.0\): lr must be positive\."),
        ({"lr": float("nan")}, r"lr must be positive\."),
        ({"weight_decay": -1.0}, r"weight_decay must be at least 0\."),
        ({"warmup": 1.0}, r"warmup must be in \[0, 1\)\. It is a fraction of the run\."),
        ({"momentum": 0.0}, r"SGDRecipe\(momentum=0\.0\): momentum must be in \(0, 1\)\."),
    ],
)
def test_values_out_of_range_are_refused(values, message):
    with pytest.raises(ArgumentError, match=message):
        SGDRecipe(**({"epochs": 1, "lr": 0.1} | values))
