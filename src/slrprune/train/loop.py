"""The loop: one run of a task's recipe, with or without pruning."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from torch import nn

from slrprune.errors import ArgumentError
from slrprune.tasks.base import Task
from slrprune.tasks.recipe import Recipe
from slrprune.train.distillation import Teacher
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
    teacher: Teacher | None = None,
    steps: int | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> Training:
    """Trains `model` in place for `recipe.epochs` epochs; finalizing is left to the caller.

    The result is a function of model, task, recipe, seed, trainer, teacher and steps, bit for bit on a CPU with a fixed
    number of threads. Torch's global RNG, which dropout reads, is seeded for the run and put back afterwards.

    Args:
        model: on the task's device.
        task: gives batches and loss.
        recipe: gives optimizer, learning-rate schedule and length.
        seed: of the data order, the augmentation and dropout, at least 0.
        trainer: makes what turns a loss into a step: `DenseTrainer`, or for example

                lambda model, optimizer, steps: PruningTrainer(
                    optimizer, Pruner(model, optimizer, Global(0.9), total_steps=steps)
                )
        teacher: what to learn from beside the labels; a step with a teacher costs 4/3 of a plain one.
        steps: training steps in all, in [1, those of `recipe.epochs`], which is the default. The schedules have this
            length, and the last epoch may end early.
        on_epoch: called at the end of every epoch, also of one that ended early.

    Raises:
        ArgumentError: steps out of range.
        NonFiniteError: a loss or a weight became NaN or infinite; see `LossGuard` for what the weights then are.
    """
    total_steps = _checked(steps, recipe.epochs * task.steps_per_epoch)
    optimizer = recipe.optimizer(model)
    stepper = trainer(model, optimizer, total_steps)
    scheduler = recipe.scheduler(optimizer, total_steps)
    guard = LossGuard(task.device)
    losses: list[float] = []
    made, seconds = 0, 0.0
    with seeded(seed, task.device):
        for epoch in range(-(-total_steps // task.steps_per_epoch)):
            start = time.perf_counter()
            model.train()
            for batch in islice(task.batches("train", epoch, seed), total_steps - made):
                loss = task.loss(model, batch) if teacher is None else teacher.loss(task, model, batch)
                guard.watch(loss)
                stepper.step(loss)
                scheduler.step()
                made += 1
            losses.append(guard.mean())
            seconds += time.perf_counter() - start
            if on_epoch is not None:
                on_epoch(Epoch(epoch + 1, made, losses[-1], seconds, stepper))
    return Training(stepper, made, tuple(losses), seconds)


def _checked(steps: int | None, most: int) -> int:
    """`steps`, by default `most`; raises `ArgumentError` where they are out of range."""
    if steps is None:
        return most
    if isinstance(steps, bool) or not isinstance(steps, int) or not 1 <= steps <= most:
        raise ArgumentError("train", "steps", steps, f"must be in [1, {most}], the steps of the recipe's epochs")
    return steps
