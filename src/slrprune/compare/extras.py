"""Work beyond plain training steps, and what an arm pays for it out of its budget of steps."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from types import MappingProxyType

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from slrprune.batchnorm import reestimate_batchnorm
from slrprune.errors import ArgumentError, UsageError
from slrprune.tasks.base import Batch, Task
from slrprune.train.distillation import Distillation, check_teachable
from slrprune.train.price import FORWARD


@dataclass(frozen=True)
class Extras:
    """What an arm does besides pruning; its training is shortened by the price.

    Prices, in training steps: a forward pass over a batch costs a third (`slrprune.train.price`). So a step with a
    teacher costs 4/3, and re-estimation K/3. Masked retraining takes its steps from the same budget.

    Args:
        distil: learn from the dense start as well; None does not.
        reestimate: training batches over which BatchNorm's statistics are re-estimated after the hard cut, at least 0.
        retrain: fraction of the training steps that come after the hard cut, with the zeros fixed, in [0, 1).

    Raises:
        ArgumentError: a value outside its range.
    """

    distil: Distillation | None = None
    reestimate: int = 0
    retrain: float = 0.0

    def __post_init__(self) -> None:
        if isinstance(self.reestimate, bool) or not isinstance(self.reestimate, int) or self.reestimate < 0:
            raise ArgumentError("Extras", "reestimate", self.reestimate, "must be a number of batches, at least 0")
        if not 0 <= self.retrain < 1:
            raise ArgumentError("Extras", "retrain", self.retrain, "must be in [0, 1)", "It is a fraction of the run.")

    def steps(self, budget: int) -> int:
        """Training steps that remain of a budget once the extra work is paid, rounded down.

        Args:
            budget: in plain training steps, at least 1.

        Raises:
            UsageError: the extra work costs the whole budget.

        Examples:
            >>> Extras(distil=Distillation()).steps(100), Extras(reestimate=30).steps(100)
            (75, 90)
        """
        each = 1 + (FORWARD if self.distil is not None else Fraction(0))
        left = int((budget - FORWARD * self.reestimate) / each)
        if left < 1:
            problem = f"a budget of {budget} steps does not pay for {self!r} and a training step"
            raise UsageError("compare", problem, "Plan more epochs.")
        return left

    def check(self, model: nn.Module, task: Task) -> None:
        """Raises `UsageError` where the arm would pay for what cannot be: nothing to re-estimate, nothing to distil."""
        if self.reestimate and not any(isinstance(module, _BatchNorm) for module in model.modules()):
            raise UsageError("compare", f"{type(model).__name__} has no BatchNorm layer to re-estimate")
        if self.distil is not None:
            check_teachable(model, task, self.distil)

    def finish_(self, model: nn.Module, task: Task, epoch: int, seed: int) -> None:
        """Re-estimates after the hard cut, over the first training batches of an epoch that has not been trained on.

        Args:
            model: after the cut.
            task: gives the batches.
            epoch: number of that epoch, from 0.
            seed: of the run.
        """
        if self.reestimate:
            with task.autocast():
                reestimate_batchnorm(model, islice(_endless(task, epoch, seed), self.reestimate))


def _endless(task: Task, epoch: int, seed: int) -> Iterator[Batch]:
    while True:
        yield from task.batches("train", epoch, seed)
        epoch += 1


NAMED: Mapping[str, tuple[str, Extras]] = MappingProxyType(
    {
        "distil": ("distilled from the dense net", Extras(distil=Distillation())),
        "bn": ("BatchNorm re-estimated after the cut", Extras(reestimate=30)),
        "retrain": ("masked retraining in the last quarter", Extras(retrain=0.25)),
    }
)
"""What may follow an arm's name after a plus sign, as in "admm_ramp+bn"."""


def merged(names: list[str]) -> Extras:
    """All extras of these names together.

    Raises:
        ArgumentError: an unknown name; the message lists what there is.
    """
    found = Extras()
    for name in names:
        if name not in NAMED:
            raise ArgumentError("compare", "extra", name, f"must be one of {', '.join(NAMED)}", "As in slr+distil.")
        extra = NAMED[name][1]
        found = replace(
            found,
            distil=extra.distil or found.distil,
            reestimate=extra.reestimate or found.reestimate,
            retrain=extra.retrain or found.retrain,
        )
    return found
