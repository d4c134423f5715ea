"""The loop: one run of a task's recipe, with or without pruning."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from slrprune.tasks.base import Task
from slrprune.tasks.recipe import Recipe
from slrprune.train.guard import LossGuard
from slrprune.train.seeding import seeded
from slrprune.train.trainer import DenseTrainer, Trainer, TrainerFactory


@dataclass(frozen=True)
class Epoch:
    """What is known when an epoch ends.

    Attributes:
        number: of the epoch, 1-based.
        steps: training steps made so far.
        loss: mean mini-batch loss of this epoch, at moving weights.
        seconds: time spent on training so far, without what `on_epoch` took.
        trainer: what makes the steps; its `preview` shows what the hard cut would leave now.
    """

    number: int
    steps: int
    loss: float
    seconds: float
    trainer: Trainer


@dataclass(frozen=True)
class Training:
    """A run that came to its end.

    Attributes:
        trainer: what made the steps; `finalize` has not been called.
        steps: training steps made.
        losses: mean mini-batch loss of every epoch.
        seconds: time spent on training, without what `on_epoch` took.
    """

    trainer: Trainer
    steps: int
    losses: tuple[float, ...]
    seconds: float


def train(
    model: nn.Module,
    task: Task,
    recipe: Recipe,
    *,
    seed: int = 0,
    trainer: TrainerFactory = DenseTrainer,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> Training:
    """Trains `model` in place for `recipe.epochs` epochs; finalizing is left to the caller.

    The result is a function of model, task, recipe, seed and trainer, bit for bit on a CPU with a fixed number of
    threads. Torch's global RNG, which dropout reads, is seeded for the run and put back afterwards.

    Args:
        model: on the task's device.
        task: gives batches and loss.
        recipe: gives optimizer, learning-rate schedule and length.
        seed: of the data order, the augmentation and dropout, at least 0.
        trainer: makes what turns a loss into a step: `DenseTrainer`, or for example

                lambda model, optimizer, steps: PruningTrainer(
                    optimizer, Pruner(model, optimizer, Global(0.9), total_steps=steps)
                )
        on_epoch: called at the end of every epoch.

    Raises:
        NonFiniteError: a loss or a weight became NaN or infinite; see `LossGuard` for what the weights then are.
    """
    optimizer = recipe.optimizer(model)
    total_steps = recipe.epochs * task.steps_per_epoch
    stepper = trainer(model, optimizer, total_steps)
    scheduler = recipe.scheduler(optimizer, total_steps)
    guard = LossGuard(task.device)
    losses: list[float] = []
    steps, seconds = 0, 0.0
    with seeded(seed, task.device):
        for epoch in range(recipe.epochs):
            start = time.perf_counter()
            model.train()
            for batch in task.batches("train", epoch, seed):
                loss = task.loss(model, batch)
                guard.watch(loss)
                stepper.step(loss)
                scheduler.step()
                steps += 1
            losses.append(guard.mean())
            seconds += time.perf_counter() - start
            if on_epoch is not None:
                on_epoch(Epoch(epoch + 1, steps, losses[-1], seconds, stepper))
    return Training(stepper, steps, tuple(losses), seconds)
