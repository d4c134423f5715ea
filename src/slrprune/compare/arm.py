"""What takes part in a comparison: a method of ours, plain training, or a rival from another library."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

from torch import nn
from torch.optim import Optimizer

from slrprune.compare.extras import Extras
from slrprune.errors import ArgumentError
from slrprune.methods.base import Method
from slrprune.pruner import Pruner
from slrprune.rules import Rules
from slrprune.train.retraining import RetrainingTrainer
from slrprune.train.trainer import DenseTrainer, PruningTrainer, Trainer

RivalFactory = Callable[[nn.Module, Optimizer, Rules, int], Trainer]
"""Makes a rival's trainer from model, optimizer, rules and the number of steps planned."""


@dataclass(frozen=True)
class TuningNote:
    """How an arm came by its settings.

    Attributes:
        trials: how many settings of the arm were tried, the one it came with included.
        epochs: length of each trial.
        seeds: of the trials, none of them a seed of the reported runs.
        target: label of the target of the trials.
        accuracy: of the chosen setting after the cut, on the "val" split, mean over seeds, in percent.
        task: of the trials, which may be another than that of the reported runs.
        model: of the trials, likewise.
    """

    trials: int
    epochs: int
    seeds: tuple[int, ...]
    target: str
    accuracy: float
    task: str
    model: str


@dataclass(frozen=True)
class Arm(ABC):
    """One contestant. All arms of a comparison get the same start, optimizer, schedule, data order and budget.

    Args:
        name: in tables, records and on the command line; lower case, digits and underscores, and after plus signs the
            names of its extras.
        description: one line that says what it is.
        extras: work that it pays for out of its budget.
        alternatives: other settings of the same arm, for equal tuning, the most promising first.
        tuned: how the arm came by its settings; None where it was not tuned.
    """

    name: str
    description: str
    extras: Extras = field(default=Extras(), kw_only=True)
    alternatives: "tuple[Arm, ...]" = field(default=(), kw_only=True, repr=False)
    tuned: TuningNote | None = field(default=None, kw_only=True, repr=False)

    @property
    def prunes(self) -> bool:
        """Whether the arm looks at the rules at all."""
        return True

    @property
    def settings(self) -> str:
        """Everything that defines the arm's results; two arms with equal settings are the same arm."""
        return self.own_settings if self.extras == Extras() else f"{self.own_settings}, {self.extras!r}"

    @property
    @abstractmethod
    def own_settings(self) -> str:
        """The settings without the extras."""

    def trainer(self, model: nn.Module, optimizer: Optimizer, rules: Rules, total_steps: int) -> Trainer:
        """What makes the arm's training steps, masked retraining included.

        Args:
            model: the dense start.
            optimizer: of all its weights.
            rules: what to prune.
            total_steps: training steps in all.

        Raises:
            SlrpruneError: rules that do not fit, or a run too short for the arm's schedule.
        """

        def own(steps: int) -> Trainer:
            return self.own_trainer(model, optimizer, rules, steps)

        share = self.extras.retrain
        if not share:
            return own(total_steps)
        return RetrainingTrainer(model, optimizer, rules, pruning=own, steps=total_steps, share=share)

    @abstractmethod
    def own_trainer(self, model: nn.Module, optimizer: Optimizer, rules: Rules, total_steps: int) -> Trainer:
        """What makes the steps until the hard cut."""


@dataclass(frozen=True)
class MethodArm(Arm):
    """A method of this library.

    Args:
        method: with its settings.
    """

    method: Method

    @property
    def own_settings(self) -> str:
        """The method as one would write it, with its revision once that is not the first."""
        revision = f", revision {self.method.revision}" if self.method.revision > 1 else ""
        return f"{self.method!r}{revision}"

    def own_trainer(self, model: nn.Module, optimizer: Optimizer, rules: Rules, total_steps: int) -> PruningTrainer:
        """Plain training with a `Pruner`; refused where no update but the last would be made, which shows no method."""
        pruner = Pruner(model, optimizer, rules, total_steps=total_steps, method=self.method)
        if self.method.needs_training and total_steps < 2 * self.method.interval:
            rule = f"is too short: {self.name} updates at every {self.method.interval}th step"
            way_out = f"Plan at least {2 * self.method.interval} steps."
            raise ArgumentError("compare", "steps", total_steps, rule, way_out)
        return PruningTrainer(optimizer, pruner)


@dataclass(frozen=True)
class DenseArm(Arm):
    """The dense model, trained on for as many steps as the others: what pruning has to be measured against."""

    @property
    def prunes(self) -> bool:
        """False."""
        return False

    @property
    def own_settings(self) -> str:
        """There are none."""
        return "dense"

    def own_trainer(self, model: nn.Module, optimizer: Optimizer, rules: Rules, total_steps: int) -> DenseTrainer:
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
    def own_settings(self) -> str:
        """As given."""
        return self.version_and_settings

    def own_trainer(self, model: nn.Module, optimizer: Optimizer, rules: Rules, total_steps: int) -> Trainer:
        """What the factory makes."""
        return self.factory(model, optimizer, rules, total_steps)
