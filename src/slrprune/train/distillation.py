"""Learning from the dense net while pruning: the outputs of a teacher beside the labels."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from slrprune.errors import ArgumentError, UsageError
from slrprune.tasks.base import Batch, Task


@dataclass(frozen=True)
class Distillation:
    """How much a student listens to its teacher.

    loss = (1 - weight) * task loss + weight * T^2 * KL(softmax(teacher / T) || softmax(student / T))

    The factor T^2 keeps the size of the second term's gradient independent of T.

    Args:
        weight: of the teacher, in (0, 1].
        temperature: T, positive.

    Raises:
        ArgumentError: a value outside its range.

    Reference:
        G. Hinton, O. Vinyals, J. Dean, "Distilling the knowledge in a neural network", arXiv 1503.02531, section 2. The
        defaults, 0.9 and 4, are those of Y. Tian, D. Krishnan, P. Isola, ICLR 2020, for CIFAR.
    """

    weight: float = 0.9
    temperature: float = 4.0

    def __post_init__(self) -> None:
        if not 0 < self.weight <= 1:
            raise ArgumentError("Distillation", "weight", self.weight, "must be in (0, 1]")
        if not self.temperature > 0:
            raise ArgumentError("Distillation", "temperature", self.temperature, "must be positive")


class Teacher:
    """A frozen copy of a trained net, asked about every training batch.

    It sees what the student sees, augmentation included, in evaluation mode. One more forward pass a step costs a third
    of a step (`slrprune.train.price`).

    Args:
        model: copied; its outputs must be one tensor of logits with the classes in the last dimension.
        settings: see `Distillation`.
    """

    def __init__(self, model: nn.Module, settings: Distillation | None = None) -> None:
        self.model = deepcopy(model).eval().requires_grad_(False)
        self.settings = settings or Distillation()

    def loss(self, task: Task, model: nn.Module, batch: Batch) -> Tensor:
        """The student's loss on a batch: a float32 scalar with a graph.

        Raises:
            UsageError: a model whose outputs are no tensor of logits.
        """
        with _recorded(model) as outputs:
            own = task.loss(model, batch)
        student = _logits(outputs)
        with torch.no_grad(), task.autocast():
            teacher = _logits([self.model(batch[0])])
        return torch.lerp(own, self._divergence(student, teacher), self.settings.weight)

    def _divergence(self, student: Tensor, teacher: Tensor) -> Tensor:
        """T^2 KL, the mean over everything but the classes."""
        heat = self.settings.temperature
        ours = F.log_softmax(student.float().flatten(0, -2) / heat, dim=-1)
        theirs = F.log_softmax(teacher.float().flatten(0, -2) / heat, dim=-1)
        return heat**2 * F.kl_div(ours, theirs, reduction="batchmean", log_target=True)


def check_teachable(model: nn.Module, task: Task, settings: Distillation | None = None) -> None:
    """Asks a teacher about one training batch, before hours of dense training.

    Args:
        model: of the task, on the task's device; its BatchNorm statistics move.
        task: gives the batch.
        settings: see `Distillation`.

    Raises:
        UsageError: a model whose outputs are no tensor of logits.
    """
    with torch.no_grad():
        Teacher(model, settings).loss(task, model, next(iter(task.batches("train"))))


@contextmanager
def _recorded(model: nn.Module) -> Iterator[list[Any]]:
    """What `model` returns inside the block."""
    outputs: list[Any] = []
    handle = model.register_forward_hook(lambda _, __, output: outputs.append(output))
    try:
        yield outputs
    finally:
        handle.remove()


def _logits(outputs: list[Any]) -> Tensor:
    """The one output, if it is a tensor of logits."""
    if len(outputs) != 1 or not isinstance(outputs[0], Tensor) or outputs[0].ndim < 2:
        kinds = [type(output).__name__ for output in outputs]
        problem = f"the task's loss must call the model once and get one tensor of logits, got {kinds}"
        raise UsageError("Distillation", problem, "Wrap the model so that it returns its logits.")
    return outputs[0]
