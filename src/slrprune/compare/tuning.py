"""Equal tuning: every arm tries the same number of settings on validation data before the test split is looked at."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from slrprune.compare.arm import Arm
from slrprune.compare.engine import Observer, check, compare
from slrprune.compare.plan import Plan
from slrprune.compare.record import RunRecord
from slrprune.compare.trials import FOLDER, best
from slrprune.errors import ArgumentError, UsageError
from slrprune.target import Target
from slrprune.tasks.base import Task, has_split

SEEDS = (1000,)
"""Seeds of the trials, apart from those that anybody reports."""

_LONG = 1000
"""Times as long as a trial: enough steps for any schedule."""


@dataclass(frozen=True)
class Tuning:
    """How much tuning every arm gets.

    Args:
        trials: settings tried for each arm, the one it came with first; at least 1.
        epochs: length of each trial, at least 1.
        target: at which the trials are made.
        seeds: of the trials.

    Raises:
        ArgumentError: trials below 1.
    """

    trials: int
    epochs: int
    target: Target
    seeds: tuple[int, ...] = SEEDS

    def __post_init__(self) -> None:
        if isinstance(self.trials, bool) or not isinstance(self.trials, int) or self.trials < 1:
            raise ArgumentError("Tuning", "trials", self.trials, "must be a whole number of at least 1")

    def settings(self, arm: Arm) -> tuple[Arm, ...]:
        """The settings of `arm` that are tried; none for an arm without knobs.

        Raises:
            ArgumentError: more trials than the arm has settings to try.
        """
        if not arm.alternatives:
            return ()
        if self.trials > 1 + len(arm.alternatives):
            rule = f"must be at most {1 + len(arm.alternatives)}, the settings that there are for {arm.name}"
            raise ArgumentError("Tuning", "trials", self.trials, rule)
        return (arm, *arm.alternatives[: self.trials - 1])


def tune(
    task: Task,
    arms: Sequence[Arm],
    tuning: Tuning,
    folder: Path,
    *,
    workers: int = 1,
    observer: Observer | None = None,
    command: str | None = None,
) -> tuple[Arm, ...]:
    """The arms with the best of their settings each, in the order given; resumable as `compare` is.

    A setting is judged by its mean accuracy after the cut on the "val" split; the first of equal ones wins, so that an
    arm keeps what it came with unless something is better. The trials' records have no test accuracy. From them `tuned`
    takes what won into other comparisons.

    Args:
        task: with a "val" split.
        arms: what to tune; an arm without alternatives stays as it is.
        tuning: how much.
        folder: of the comparison; the trials' records go into `tuning` inside it.
        workers: see `compare`.
        observer: see `compare`.
        command: see `compare`.

    Raises:
        UsageError: the task has no "val" split.
        ArgumentError: more trials than an arm has settings, or trials too short for one of them.
        SlrpruneError: as `compare`.
    """
    if not has_split(task, "val"):
        raise UsageError(
            "tune", f"the task {task.name!r} has no 'val' split", "Hold some training examples out for it."
        )
    settings = [tuning.settings(arm) for arm in arms]
    rounds = [tuple(options[index] for options in settings if options) for index in range(tuning.trials)]
    plans = [Plan(tried, (tuning.target,), tuning.epochs, tuning.seeds) for tried in rounds if tried]
    for plan in plans:
        _check(task, plan, folder / FOLDER)
    records: list[RunRecord] = []
    for plan in plans:
        records += compare(
            task, plan, folder / FOLDER, workers=workers, observer=observer, command=command, tests=False
        )
    return tuple(best(arm, records) for arm in arms)


def _check(task: Task, plan: Plan, folder: Path) -> None:
    """Refuses what cannot be run; trials that are too short by the length that the user chose, or left to us.

    Raises:
        ArgumentError: a trial that could be run if it were longer.
        SlrpruneError: as `check`.
    """
    try:
        check(task, plan, folder)
    except (ArgumentError, UsageError):
        for arm in plan.arms:
            _check_length(task, replace(plan, arms=(arm,)), folder)
        raise


def _check_length(task: Task, trial: Plan, folder: Path) -> None:
    try:
        check(task, trial, folder)
    except (ArgumentError, UsageError) as error:
        check(task, replace(trial, epochs=_LONG * trial.epochs), folder)  # raises where it is not the length
        (arm,) = trial.arms
        rule = f"is too few for the trial of {arm.name} with {arm.settings}: {str(error).removesuffix('.')}"
        way_out = f"An epoch has {task.steps_per_epoch} steps; on the command line it is --tune-epochs."
        raise ArgumentError("Tuning", "epochs", trial.epochs, rule, way_out) from error
