"""Equal tuning: every arm tries the same number of settings on validation data before the test split is looked at."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

from slrprune.compare.arm import Arm, TuningNote
from slrprune.compare.engine import Observer, check, compare
from slrprune.compare.plan import Plan
from slrprune.compare.record import RunRecord
from slrprune.errors import ArgumentError, UsageError
from slrprune.target import Target
from slrprune.tasks.base import Task, has_split

SEEDS = (1000,)
"""Seeds of the trials, apart from those that anybody reports."""

FOLDER = "tuning"
"""Where the records of the trials lie, inside the folder of the comparison."""


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
    arm keeps what it came with unless something is better. The trials' records have no test accuracy.

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
        ArgumentError: more trials than an arm has settings.
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
        check(task, plan, folder / FOLDER)
    found: dict[str, list[tuple[float, Arm]]] = {arm.name: [] for arm in arms}
    for plan in plans:
        records = compare(task, plan, folder / FOLDER, workers=workers, observer=observer, command=command, tests=False)
        for arm in plan.arms:
            found[arm.name].append((_accuracy(arm, records), arm))
    return tuple(_winner(arm, found[arm.name], tuning) for arm in arms)


def _accuracy(arm: Arm, records: Sequence[RunRecord]) -> float:
    """Mean validation accuracy; minus infinity where a run diverged or could not be measured."""
    accuracies = [record.val_accuracy_after_cut for record in records if record.method == arm.name]
    return fmean([float("-inf") if accuracy is None else accuracy for accuracy in accuracies])


def _winner(arm: Arm, trials: list[tuple[float, Arm]], tuning: Tuning) -> Arm:
    if not trials:
        return arm
    accuracy, best = max(trials, key=lambda trial: trial[0])  # the first of equal ones
    if accuracy == float("-inf"):
        return arm
    note = TuningNote(len(trials), tuning.epochs, tuning.seeds, tuning.target.label, accuracy)
    return replace(best, tuned=note, alternatives=())
