"""The loop: one run of a task's recipe, with or without pruning; it may be stopped after any step and gone on with."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR

from slrprune.errors import ArgumentError, StateError
from slrprune.seeding import mixed, random_state, restore_random_state, seeded
from slrprune.tasks.base import Batch, Task
from slrprune.tasks.recipe import Recipe
from slrprune.train.distillation import Teacher
from slrprune.train.engine import Engine, Plain
from slrprune.train.guard import LossGuard
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


@dataclass(frozen=True)
class DataOrder:
    """Which batches a run sees, and in which order.

    Args:
        seed: of the data order, the augmentation and dropout, at least 0.
        first_epoch: the task's number of the first epoch; retraining goes on where pruning ended.
    """

    seed: int = 0
    first_epoch: int = 0


@dataclass
class Position:
    """How far a loop is.

    Attributes:
        epoch: whole epochs made.
        step: steps made of the epoch under way.
        steps: steps made in all.
        seconds: spent on training.
        losses: mean loss of every whole epoch.
    """

    epoch: int = 0
    step: int = 0
    steps: int = 0
    seconds: float = 0.0
    losses: tuple[float, ...] = ()


class Loop:
    """A run under way: `train` drives it to its end in one go, `slrprune.train.run` from checkpoint to checkpoint.

    Args:
        model: on the task's device.
        task: gives batches and loss.
        recipe: gives optimizer, learning-rate schedule and length.
        order: of the data.
        trainer: makes what turns a loss into a step.
        teacher: what to learn from beside the labels.
        steps: optimizer steps in all, in [1, those of `recipe.epochs`], which is the default.
        engine: how steps are made; plain torch by default.

    Raises:
        ArgumentError: steps out of range, or a scheduler made for another number of steps.
    """

    def __init__(
        self,
        model: nn.Module,
        task: Task,
        recipe: Recipe,
        *,
        order: DataOrder,
        trainer: TrainerFactory = DenseTrainer,
        teacher: Teacher | None = None,
        steps: int | None = None,
        engine: Engine | None = None,
    ) -> None:
        self.engine = engine or Plain()
        self.task, self.order, self.teacher = task, order, teacher
        self.steps_per_epoch = task.steps_per_epoch // self.engine.accumulation
        self.total_steps = _checked(steps, recipe.epochs * self.steps_per_epoch)
        self.optimizer = recipe.optimizer(model)
        self.trainer = trainer(model, self.optimizer, self.total_steps)
        self.scheduler: LRScheduler = recipe.scheduler(self.optimizer, self.total_steps)
        _check_scheduler(self.scheduler, self.total_steps)
        self.model = model
        self.at = Position()
        self._called = self.engine.prepare(model, self.optimizer)
        self._guard = LossGuard(task.device)
        self._random: dict[str, Any] | None = None

    @property
    def epochs(self) -> int:
        """How many epochs the run begins; the last one may end early."""
        return -(-self.total_steps // self.steps_per_epoch)

    def run(
        self, *, on_epoch: Callable[[float], None] | None = None, on_step: Callable[[], None] | None = None
    ) -> None:
        """Goes on to the end.

        Args:
            on_epoch: called at the end of every epoch with its mean loss; `at` counts the epoch as made.
            on_step: called after every optimizer step; may raise to stop the run, which then can be gone on with.

        Raises:
            NonFiniteError: a loss or a weight became NaN or infinite; see `LossGuard` for what the weights then are.
        """
        seed, rank, first = self.order.seed, self.engine.rank, self.order.first_epoch
        seed = mixed(seed, rank, first) if rank or first else seed
        with seeded(seed, self.task.device):
            if self._random is not None:
                restore_random_state(self._random, self.task.device)
            while self.at.epoch < self.epochs:
                with self._timed():
                    self.model.train()
                    self._called.train()
                for batch, is_last in self._batches():
                    with self._timed():
                        self._batch(batch, is_last)
                    if is_last and on_step is not None:
                        on_step()
                loss = self._end_epoch()
                if on_epoch is not None:
                    on_epoch(loss)

    def state_dict(self) -> dict[str, Any]:
        """Everything but model and trainer: plain values and tensors. Only inside the callbacks of `run`."""
        return {
            "position": vars(self.at).copy(),
            "total_steps": self.total_steps,
            "optimizer": self.optimizer.state_dict(),
            "optimizer_class": _class_of(self.optimizer),
            "scheduler": self.scheduler.state_dict(),
            "engine": self.engine.state_dict(),
            "guard": self._guard.state_dict(),
            "random": self.engine.gathered(random_state(self.task.device)),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` returned; the model and the trainer are loaded beside it.

        Raises:
            StateError: the state of a run of another length, or of one with an optimizer of another class.
        """
        if state["total_steps"] != self.total_steps:
            problem = f"the state is of a run of {state['total_steps']} steps, this one has {self.total_steps}"
            raise StateError("Loop.load_state_dict", problem, "They must agree.")
        _check_optimizer(self.optimizer, state)
        self.scheduler.load_state_dict(state["scheduler"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.engine.load_state_dict(state["engine"])
        self._guard.load_state_dict(state["guard"])
        position = dict(state["position"])
        self.at = Position(**{**position, "losses": tuple(position["losses"])})
        self._random = state["random"][self.engine.rank]

    def _batches(self) -> Iterator[tuple[Batch, bool]]:
        """What is left of the epoch, each batch with whether it ends an optimizer step."""
        every = self.engine.accumulation
        steps = min(self.steps_per_epoch, self.at.step + self.total_steps - self.at.steps)
        batches = self.task.batches("train", self.order.first_epoch + self.at.epoch, self.order.seed)
        for index, batch in enumerate(islice(batches, self.at.step * every, steps * every)):
            yield batch, (index + 1) % every == 0

    def _batch(self, batch: Batch, is_last: bool) -> None:
        with self.engine.micro_step(self._called, is_last=is_last):
            loss = self._loss(self.engine.part(batch))
            self._guard.watch(self.engine.mean(loss))
            self.trainer.step(loss)
        if is_last:
            if not self.engine.has_skipped:
                self.scheduler.step()
            self.at.step += 1
            self.at.steps += 1

    def _loss(self, batch: Batch) -> Tensor:
        if self.teacher is None:
            return self.task.loss(self._called, batch)
        return self.teacher.loss(self.task, self._called, batch)

    def _end_epoch(self) -> float:
        with self._timed():
            loss = self._guard.mean()
        self.at.losses += (loss,)
        self.at.epoch += 1
        self.at.step = 0
        return loss

    @contextmanager
    def _timed(self) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.at.seconds += time.perf_counter() - start


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
        ArgumentError: steps out of range, or a scheduler made for another number of steps.
        NonFiniteError: a loss or a weight became NaN or infinite; see `LossGuard` for what the weights then are.
    """
    loop = Loop(model, task, recipe, order=DataOrder(seed), trainer=trainer, teacher=teacher, steps=steps)

    def ended(loss: float) -> None:
        if on_epoch is not None:
            on_epoch(Epoch(loop.at.epoch, loop.at.steps, loss, loop.at.seconds, loop.trainer))

    loop.run(on_epoch=ended)
    return Training(loop.trainer, loop.at.steps, loop.at.losses, loop.at.seconds)


def _checked(steps: int | None, most: int) -> int:
    """`steps`, by default `most`; raises `ArgumentError` where they are out of range."""
    if steps is None:
        return most
    if isinstance(steps, bool) or not isinstance(steps, int) or not 1 <= steps <= most:
        raise ArgumentError("train", "steps", steps, f"must be in [1, {most}], the steps of the recipe's epochs")
    return steps


def _check_scheduler(scheduler: LRScheduler, total_steps: int) -> None:
    """Refuses a schedule of another length: it would end early, turn back, or fail at its last step."""
    length = total_steps
    if isinstance(scheduler, OneCycleLR):
        length = scheduler.total_steps
    elif isinstance(scheduler, CosineAnnealingLR):
        length = scheduler.T_max
    if length != total_steps:
        kind = type(scheduler).__name__
        rule = f"makes a {kind} of {length} steps, and the run has {total_steps} optimizer steps"
        way_out = "Build it from the total_steps that it is given; it is stepped after every optimizer step."
        raise ArgumentError("train", "recipe", kind, rule, way_out)


def _check_optimizer(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Refuses the state of another optimizer: torch would take that of Adam for AdamW, or fail with a KeyError."""
    own, told = _class_of(optimizer), state.get("optimizer_class")
    if told is None:  # a state of before: between two versions of torch one kind only gains or only loses settings
        there, here = (set(groups[0]) for groups in (state["optimizer"]["param_groups"], optimizer.param_groups))
        told = f"without {', '.join(sorted(here - there))}" if there - here and here - there else own
    if told != own:
        problem = f"the state is of another optimizer, {told}; this run has {own}"
        raise StateError("Loop.load_state_dict", problem, "Resume it with the recipe that it was begun with.")


def _class_of(optimizer: Optimizer) -> str:
    kind = type(optimizer)
    return f"{kind.__module__}.{kind.__qualname__}"
