"""How a task is trained by default: optimizer, learning-rate schedule, length."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from slrprune.errors import ArgumentError


@dataclass(frozen=True, kw_only=True)
class Recipe(ABC):
    """Default settings of one training run; the learning rate warms up linearly, then falls to 0 by a cosine.

    Args:
        epochs: passes over the training split, at least 1.
        lr: largest learning rate, positive.
        weight_decay: at least 0, applied to every parameter.
        warmup: fraction of the run in which the learning rate rises from 0, in [0, 1).

    Raises:
        ArgumentError: a value outside its range.
    """

    epochs: int
    lr: float
    weight_decay: float = 0.0
    warmup: float = 0.0

    def __post_init__(self) -> None:
        owner = type(self).__name__
        if self.epochs < 1:
            raise ArgumentError(owner, "epochs", self.epochs, "must be at least 1")
        if not self.lr > 0:
            raise ArgumentError(owner, "lr", self.lr, "must be positive")
        if not self.weight_decay >= 0:
            raise ArgumentError(owner, "weight_decay", self.weight_decay, "must be at least 0")
        if not 0 <= self.warmup < 1:
            raise ArgumentError(owner, "warmup", self.warmup, "must be in [0, 1)", "It is a fraction of the run.")

    @abstractmethod
    def optimizer(self, model: nn.Module) -> Optimizer:
        """A new optimizer of all parameters of `model`."""

    def scheduler(self, optimizer: Optimizer, total_steps: int) -> LambdaLR:
        """The schedule over `total_steps` optimizer steps; call its `step()` after every optimizer step."""
        return LambdaLR(optimizer, lambda step: self.lr_factor(step / total_steps))

    def lr_factor(self, progress: float) -> float:
        """The learning rate as a fraction of `lr`, at `progress` in [0, 1] of the run."""
        if progress < self.warmup:
            return progress / self.warmup
        cosine = (progress - self.warmup) / (1 - self.warmup)
        return 0.5 * (1 + math.cos(math.pi * min(cosine, 1.0)))


@dataclass(frozen=True, kw_only=True)
class SGDRecipe(Recipe):
    """Stochastic gradient descent with Nesterov momentum.

    Args:
        momentum: in (0, 1).

    Raises:
        ArgumentError: a value outside its range.
    """

    momentum: float = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.momentum < 1:
            raise ArgumentError("SGDRecipe", "momentum", self.momentum, "must be in (0, 1)")

    def optimizer(self, model: nn.Module) -> SGD:
        """A new SGD optimizer of all parameters of `model`."""
        parameters = model.parameters()
        return SGD(parameters, self.lr, momentum=self.momentum, nesterov=True, weight_decay=self.weight_decay)


@dataclass(frozen=True, kw_only=True)
class AdamWRecipe(Recipe):
    """Adam with decoupled weight decay, with torch's default betas."""

    def optimizer(self, model: nn.Module) -> AdamW:
        """A new AdamW optimizer of all parameters of `model`."""
        return AdamW(model.parameters(), self.lr, weight_decay=self.weight_decay)


@dataclass(frozen=True, kw_only=True)
class AdamRecipe(Recipe):
    """Adam with the weight decay inside the gradient (L2 regularization), with torch's default betas.

    Small graph networks were published with it; `AdamWRecipe` is the better choice elsewhere.
    """

    def optimizer(self, model: nn.Module) -> Adam:
        """A new Adam optimizer of all parameters of `model`."""
        return Adam(model.parameters(), self.lr, weight_decay=self.weight_decay)
