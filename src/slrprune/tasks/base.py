"""What a task is: a model to build, batches to train it on, a loss, and one number that says how good it is."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Literal, TypeAlias, get_args

import numpy as np
import torch
from torch import Tensor, nn

from slrprune.errors import ArgumentError, DataError, UsageError
from slrprune.tasks.recipe import Recipe

Split: TypeAlias = Literal["train", "val", "test"]
"""Training data, data for choices, data for the final figure."""

SPLITS: tuple[Split, ...] = get_args(Split)

Batch: TypeAlias = tuple[Tensor, Any]
"""Inputs of the model, and whatever the task's loss compares its outputs with; both on the task's device."""


class Task(ABC):
    """Something to train and to prune. `TensorTask` implements most of it for labelled tensors.

    A task holds data and settings, no model and no progress: the same call gives the same answer, it can be pickled
    and deep-copied, and one task serves any number of runs.

    Args:
        device: where data and models live.
        bf16: run forward passes under bfloat16 autocast; weights and loss stay float32.
    """

    name: ClassVar[str]
    """Name in the registry and in records, for example "digits"."""

    metric: str
    """What `evaluate` returns, larger is better, for example "accuracy"; in percent."""

    dense_recipe: Recipe
    """How a dense model is trained from fresh weights."""

    pruning_recipe: Recipe
    """How a trained model is trained on while it is pruned."""

    has_divisible_batches: ClassVar[bool] = True
    """Whether a batch is so many examples, which several processes can share; False where it is one whole thing."""

    def __init__(self, *, device: str | torch.device = "cpu", bf16: bool = False) -> None:
        self.device = torch.device(device)
        self.bf16 = bf16

    @property
    @abstractmethod
    def model_name(self) -> str:
        """Name of the model in records, for example "resnet20"."""

    @abstractmethod
    def build_model(self) -> nn.Module:
        """A new model on the task's device, its weights drawn from torch's current RNG."""

    def pretrained(self) -> nn.Module | None:
        """A new model with trained dense weights; None where the task has none and a dense run must come first."""
        return None

    @property
    @abstractmethod
    def steps_per_epoch(self) -> int:
        """Number of batches in one epoch of the training split."""

    @abstractmethod
    def batches(self, split: Split, epoch: int = 0, seed: int = 0) -> Iterator[Batch]:
        """One pass over a split.

        Training batches are shuffled and augmented, all of one size, a function of (seed, epoch) alone: torch's
        global RNG is neither read nor moved. Other splits come in their own order, complete and unchanged.

        Args:
            split: "train", "val" or "test".
            epoch: number of the pass, from 0.
            seed: of the run, at least 0.
        """

    @abstractmethod
    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The training loss of one batch: a float32 scalar with a graph."""

    @abstractmethod
    def evaluate(self, model: nn.Module, split: Split) -> float:
        """The metric of `model` on a whole split, in percent; leaves the model's mode and weights as they were."""

    def details(self, model: nn.Module, split: Split) -> Mapping[str, float]:
        """Further figures of `model` on a whole split, by name, for the summary of a run; none by default.

        Where the same pass gives the metric, it is among them, under its own name `metric`, and is not measured again.
        NaN stands for a figure that cannot be had.
        """
        return {}

    def example_input(self) -> Tensor:
        """A batch of one, for tracing, export and counting operations.

        Raises:
            UsageError: the task has no "test" split.
            DataError: the split yields no batch.
        """
        batch = next(iter(self.batches("test")), None)
        if batch is None:
            raise DataError(self.name, "the 'test' split yields no batch, so there is no example input")
        inputs: Tensor = batch[0]
        return inputs[:1]

    def warnings(self) -> tuple[str, ...]:
        """What a report must say about the data so far, one sentence each: what was skipped, and how much of it."""
        return ()

    def autocast(self) -> torch.autocast:
        """The context in which the task runs forward passes."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)


def check_split(owner: str, split: str) -> None:
    """Raises `ArgumentError` unless `split` is the name of a split."""
    if split not in SPLITS:
        raise ArgumentError(owner, "split", split, f"must be one of {', '.join(map(repr, SPLITS))}")


def has_split(task: Task, split: Split) -> bool:
    """Whether the task has this split; `Task.batches` says so by refusing. A `DataError` of the split goes through."""
    try:
        next(iter(task.batches(split)), None)
    except UsageError:
        return False
    return True


def epoch_generator(seed: int, epoch: int) -> torch.Generator:
    """A CPU generator for one epoch of one run; neighbouring seeds and epochs give unrelated streams.

    It lives on the CPU so that every device sees the same batches.

    Args:
        seed: of the run, at least 0.
        epoch: at least 0.

    Raises:
        ArgumentError: a negative number.
    """
    for argument, value in (("epoch", epoch), ("seed", seed)):
        if value < 0:
            raise ArgumentError("batches", argument, value, "must be at least 0")
    # Torch's generator looks at 32 bits of its seed only, so the pair has to be mixed first.
    mixed = int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])
    return torch.Generator().manual_seed(mixed)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Puts `model` in evaluation mode without gradients; afterwards every module has the mode it had before."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for module, training in modes:
            module.training = training
