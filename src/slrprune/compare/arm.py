"""What takes part in a comparison: a method of ours, plain training, or a rival from another library."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn
from torch.optim import Optimizer

from slrprune.methods.base import Method
from slrprune.pruner import Pruner
from slrprune.rules import Rules
from slrprune.train.trainer import DenseTrainer, PruningTrainer, Trainer

RivalFactory = Callable[[nn.Module, Optimizer, Rules, int], Trainer]
"""Makes a rival's trainer from model, optimizer, rules and the number of steps planned."""


@dataclass(frozen=True)
class Arm(ABC):
    """One contestant. All arms of a comparison get the same start, optimizer, schedule, data order and steps.

    Args:
        name: in tables, records and on the command line; lower case, digits and underscores.
        description: one line that says what it is.
    """

    name: str
    description: str

    @property
    def prunes(self) -> bool:
        """Whether the arm looks at the rules at all."""
        return True

    @property
    @abstractmethod
    def settings(self) -> str:
        """Everything that defines the arm's results; two arms with equal settings are the same arm."""

    @abstractmethod
    def trainer(self, model: nn.Module, optimizer: Optimizer, rules: Rules, total_steps: int) -> Trainer:
        """What makes the arm's training steps."""


@dataclass(frozen=True)
class MethodArm(Arm):
    """A method of this library.

    Args:
        method: with its settings.
    """

    method: Method

    @property
    def settings(self) -> str:
        """The method as one would write it."""
        return repr(self.method)

    def trainer(self, model: nn.Module, optimizer: Optimizer, rules: Rules, total_steps: int) -> PruningTrainer:
        """Plain training with a `Pruner`."""
        pruner = Pruner(model, optimizer, rules, total_steps=total_steps, method=self.method)
        return PruningTrainer(optimizer, pruner)


@dataclass(frozen=True)
class DenseArm(Arm):
    """The dense model, trained on for as many steps as the others: what pruning has to be measured against."""

    @property
    def prunes(self) -> bool:
        """False."""
        return False

    @property
    def settings(self) -> str:
        """There are none."""
        return "dense"

    def trainer(self, model: nn.Module, optimizer: Optimizer, rules: Rules, total_steps: int) -> DenseTrainer:
        """Plain training."""
        return DenseTrainer(model, optimizer, total_steps)


@dataclass(frozen=True)
class RivalArm(Arm):
    """Another library's method, brought in by an adapter that lives outside slrprune.

    The factory's trainer gets the loss and makes the whole step (see `Trainer`), so that it may wrap the optimizer,
    add to the loss, or do both; `finalize` must leave the cut weights in the model it was built from. The learning
    rate is scheduled on the optimizer it was given.

    Args:
        factory: an importable function or class, since worker processes are sent it by name.
        version_and_settings: everything that defines the results, with the version of the library behind it.
    """

    factory: RivalFactory
    version_and_settings: str

    @property
    def settings(self) -> str:
        """As given."""
        return self.version_and_settings

    def trainer(self, model: nn.Module, optimizer: Optimizer, rules: Rules, total_steps: int) -> Trainer:
        """What the factory makes."""
        return self.factory(model, optimizer, rules, total_steps)
