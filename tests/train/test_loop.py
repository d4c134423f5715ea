"""The built-in loop against the loop a user writes."""

from dataclasses import replace

import blobs
import pytest
import torch
from torch import nn

from slrprune import ADMM, SLR, Global, Pruner
from slrprune.errors import NonFiniteError
from slrprune.tasks import Labelled, SGDRecipe
from slrprune.train import DenseTrainer, PruningTrainer, train
from slrprune.train.guard import LossGuard


class Blobs(blobs.Blobs):
    """Six batches an epoch; the model has dropout, too."""

    dense_recipe = SGDRecipe(epochs=2, lr=0.1, weight_decay=1e-3, warmup=0.2)
    pruning_recipe = SGDRecipe(epochs=3, lr=0.05)

    def __init__(self):
        super().__init__(batch_size=16)

    def build_model(self):
        return nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 4))


def fresh(task):
    torch.manual_seed(7)
    return task.build_model()


def weights(model):
    return torch.cat([tensor.flatten().double() for tensor in model.state_dict().values()])


def pruned(method):
    def factory(model, optimizer, total_steps):
        pruner = Pruner(model, optimizer, Global(0.5), total_steps=total_steps, method=method)
        return PruningTrainer(optimizer, pruner)

    return factory


def by_hand(model, task, recipe, seed, pruner_of=lambda model, optimizer, total_steps: None):
    """The loop of the README, with the recipe's optimizer and schedule."""
    torch.manual_seed(seed)
    optimizer = recipe.optimizer(model)
    scheduler = recipe.scheduler(optimizer, recipe.epochs * task.steps_per_epoch)
    pruner = pruner_of(model, optimizer, recipe.epochs * task.steps_per_epoch)
    losses = []
    model.train()
    for epoch in range(recipe.epochs):
        for batch in task.batches("train", epoch, seed):
            loss = task.loss(model, batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
            losses.append(loss.item())
            if pruner is not None:
                pruner.step(loss)
    if pruner is not None:
        pruner.finalize()
    return losses


def test_dense_training_is_the_loop_written_by_hand():
    task = Blobs()
    ours, theirs = fresh(task), fresh(task)
    run = train(ours, task, task.dense_recipe, seed=3)
    losses = by_hand(theirs, task, task.dense_recipe, 3)
    assert torch.equal(weights(ours), weights(theirs))
    assert run.steps == len(losses) == 12
    assert run.losses == pytest.approx([sum(losses[:6]) / 6, sum(losses[6:]) / 6], rel=1e-12)


def test_pruning_is_the_readme_written_by_hand():
    task = Blobs()
    ours, theirs = fresh(task), fresh(task)
    run = train(ours, task, task.pruning_recipe, trainer=pruned(SLR()))
    run.trainer.finalize()
    by_hand(theirs, task, task.pruning_recipe, 0, lambda m, o, n: Pruner(m, o, Global(0.5), total_steps=n))
    assert torch.equal(weights(ours), weights(theirs))
    assert int((ours[0].weight == 0).sum() + (ours[4].weight == 0).sum()) == 96


def test_a_run_depends_on_its_seed_alone():
    task = Blobs()
    found = []
    for seed, clutter in ((1, 100), (1, 200), (2, 100)):
        model = fresh(task)
        torch.manual_seed(clutter)  # the state of the global generator must not matter
        train(model, task, task.dense_recipe, seed=seed)
        found.append(weights(model))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_the_global_generator_is_left_as_it_was():
    task = Blobs()
    model = fresh(task)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(model, task, task.dense_recipe, seed=1)
    assert torch.equal(torch.rand(3), expected)


def test_looking_at_a_run_does_not_change_it():
    task = Blobs()
    watched, alone = fresh(task), fresh(task)
    seen = []

    def look(epoch):
        copy = epoch.trainer.preview()
        seen.append((epoch.number, epoch.steps, int((copy[0].weight == 0).sum() + (copy[4].weight == 0).sum())))
        task.evaluate(copy, "test")

    train(watched, task, task.pruning_recipe, trainer=pruned(ADMM(interval=2)), on_epoch=look)
    train(alone, task, task.pruning_recipe, trainer=pruned(ADMM(interval=2)))
    assert torch.equal(weights(watched), weights(alone))
    assert seen == [(1, 6, 96), (2, 12, 96), (3, 18, 96)]


def test_a_coupled_method_gets_its_penalty():
    task = Blobs()
    model, plain = fresh(task), fresh(task)
    train(model, task, task.pruning_recipe, trainer=pruned(ADMM(interval=2, coupled=True))).trainer.finalize()
    train(plain, task, task.pruning_recipe, trainer=DenseTrainer)
    assert not torch.allclose(weights(model), weights(plain))


def test_training_mode_is_restored_after_an_evaluation_in_between():
    task = Blobs()
    modes = []
    model = fresh(task)

    def meddle(epoch):
        modes.append(model.training)
        model.eval()

    train(model, task, task.pruning_recipe, on_epoch=meddle)
    assert modes == [True, True, True]


class Poisoned(Blobs):
    """A task whose loss is NaN at its eighth step."""

    def __init__(self, value):
        super().__init__()
        self.value, self.calls = value, 0

    def loss(self, model, batch):
        self.calls += 1
        return super().loss(model, batch) * (self.value if self.calls == 8 else 1.0)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_the_run_at_the_last_good_weights(value):
    task = Poisoned(value)
    model, good = fresh(task), fresh(task)
    at_step_seven = []

    class Recording(DenseTrainer):
        def step(self, loss):
            super().step(loss)
            at_step_seven[:] = [self.model[0].weight.detach().clone()]

    with pytest.raises(NonFiniteError, match=r"train, step 8: the loss is not finite\. The weights are those of the"):
        train(model, task, task.pruning_recipe, trainer=Recording)
    assert torch.equal(model[0].weight, at_step_seven[0])
    assert not torch.equal(model[0].weight, good[0].weight)


def test_on_accelerators_the_verdict_waits_for_the_end_of_the_epoch():
    guard = LossGuard(torch.device("cpu"))
    guard._is_immediate = False  # as on an accelerator, whose losses cannot be looked at for nothing
    for value in (1.0, float("nan"), 2.0):
        guard.watch(torch.tensor(value))
    with pytest.raises(NonFiniteError, match=r"train, at or before step 3: the loss is not finite"):
        guard.mean()


def test_the_mean_loss_starts_anew_after_each_reading():
    guard = LossGuard(torch.device("cpu"))
    for values, mean in (((1.0, 2.0), 1.5), ((7.0,), 7.0)):
        for value in values:
            guard.watch(torch.tensor(value))
        assert guard.mean() == mean


@pytest.mark.gpu
def test_on_a_gpu_a_nan_is_noticed():
    task = Poisoned(float("nan"))
    task.device = torch.device("cuda")
    task.splits = {name: Labelled(*(part.cuda() for part in split)) for name, split in task.splits.items()}
    recipe = replace(task.pruning_recipe, epochs=2)
    with pytest.raises(NonFiniteError, match="at or before step"):
        train(fresh(task).cuda(), task, recipe)
