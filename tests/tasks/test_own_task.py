"""A task written from nothing but the base class: what a user with other data has to write."""

import pytest
import torch
from torch import nn

from slrprune.tasks import SGDRecipe, Task
from slrprune.tasks.base import epoch_generator, evaluating


class Line(Task):
    """Regression on a noisy line; the metric is the share of explained variance."""

    name = "line"
    metric = "explained variance"
    model_name = "linear"
    steps_per_epoch = 20
    dense_recipe = SGDRecipe(epochs=3, lr=0.1)
    pruning_recipe = SGDRecipe(epochs=1, lr=0.1)

    def build_model(self):
        return nn.Linear(1, 1).to(self.device)

    def batches(self, split, epoch=0, seed=0):
        generator = epoch_generator(seed, epoch) if split == "train" else epoch_generator(len(split), 1000)
        for _ in range(self.steps_per_epoch):
            x = torch.randn(16, 1, generator=generator)
            y = 2 * x - 1 + 0.1 * torch.randn(16, 1, generator=generator)
            yield x.to(self.device), y.to(self.device)

    def loss(self, model, batch):
        inputs, targets = batch
        return (model(inputs) - targets).square().mean()

    def evaluate(self, model, split):
        with evaluating(model):
            inputs, targets = map(torch.cat, zip(*self.batches(split), strict=True))
            unexplained = (model(inputs) - targets).square().mean() / targets.var()
        return 100 * (1 - unexplained.item())


def test_it_trains_by_its_recipe():
    task = Line()
    recipe = task.dense_recipe
    model = task.build_model()
    optimizer = recipe.optimizer(model)
    scheduler = recipe.scheduler(optimizer, recipe.epochs * task.steps_per_epoch)
    for epoch in range(recipe.epochs):
        for batch in task.batches("train", epoch, seed=0):
            loss = task.loss(model, batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
    assert task.evaluate(model, "test") > 99
    assert model.weight.item() == pytest.approx(2, abs=0.1)
    assert model.training
    assert task.example_input().shape == (1, 1)
