"""`--tune` and `--tuned` of `slrprune compare`: how every method comes by its settings."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slrprune.cli.consoles import err
from slrprune.errors import ArgumentError, UsageError

if TYPE_CHECKING:
    from slrprune.compare import Plan
    from slrprune.tasks import Task

_FOLDS = "one fold's validation images are another's test images"


@dataclass(frozen=True)
class HowTuned:
    """What the options ask for.

    Args:
        trials: settings tried for each method; None for no trials.
        epochs: length of a trial; None for half of the runs'.
        earlier: folder of a comparison whose trials say what won; None for none.
        has_folds: whether the runs are those of a cross-validation.

    Raises:
        UsageError: options that exclude each other.
        ArgumentError: a length without trials.
    """

    trials: int | None
    epochs: int | None
    earlier: Path | None
    has_folds: bool

    def __post_init__(self) -> None:
        if self.trials is not None and self.earlier is not None:
            problem = "--tune and --tuned exclude each other: settings come from new trials, or from earlier ones"
            raise UsageError("compare", problem)
        if self.trials is not None and self.has_folds:
            raise UsageError("compare", f"--tune and --folds exclude each other: {_FOLDS}")
        if self.trials is None and self.epochs is not None:
            rule = "must not be given without --tune"
            raise ArgumentError("compare", "tune_epochs", self.epochs, rule, "Say --tune N, too.")

    def looked_up(self, task: "Task", plan: "Plan") -> "Plan":
        """The plan with what won earlier; the plan itself without --tuned. Nothing is trained."""
        from slrprune.compare import tuned

        if self.earlier is None:
            return plan
        chosen = replace(plan, arms=tuned(plan.arms, self.earlier))
        if self.has_folds and any(arm.tuned is not None and arm.tuned.task == task.name for arm in chosen.arms):
            problem = f"--folds and trials on {task.name} ({self.earlier}) exclude each other: {_FOLDS}"
            raise UsageError("compare", problem, "Take trials on another task.")
        return chosen

    def tried(self, task: "Task", plan: "Plan", folder: Path, **options: Any) -> "Plan":
        """The plan with what wins the trials that are made now; the plan itself without --tune."""
        from slrprune.compare import Tuning, check, tune

        if self.trials is None:
            return plan
        if check(task, plan, folder).dense.is_pretrained:
            _warn(task)
        tuning = Tuning(self.trials, self.epochs or (plan.epochs + 1) // 2, plan.targets[0])
        return replace(plan, arms=tune(task, plan.arms, tuning, folder, **options))


def _warn(task: "Task") -> None:
    line = (
        f"Warning: {task.name} starts from trained weights, which may have seen its validation data: then --tune"
        " rewards remembering. Tune with dense nets of your own, and give that folder to --tuned."
    )
    err().print(line, markup=False, highlight=False, soft_wrap=True)
