"""Runs a comparison, and goes on with one that was interrupted."""

import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from slrprune import __version__
from slrprune.compare.keep import Keep
from slrprune.compare.plan import Plan
from slrprune.compare.record import RunRecord, load_records
from slrprune.compare.run import Run, Setting
from slrprune.compare.start import DenseSource
from slrprune.compare.workers import Work, check_count, check_sendable, crew
from slrprune.errors import NonFiniteError
from slrprune.tasks.base import Task, has_split


class Observer(Protocol):
    """Follows a comparison, for example to draw a progress bar."""

    def planned(self, epochs: int, runs: int, finished: int) -> None:
        """Told once: epochs of training ahead, runs of the plan, and how many of these were finished before."""

    def epoch_ended(self, label: str, number: int, accuracy: float | None) -> None:
        """Told at the end of every epoch, with the accuracy after the cut on a copy where it was measured."""

    def run_ended(self, record: RunRecord) -> None:
        """Told at the end of every run."""


class Silent:
    """An observer that does nothing."""

    def planned(self, epochs: int, runs: int, finished: int) -> None:
        """Nothing."""

    def epoch_ended(self, label: str, number: int, accuracy: float | None) -> None:
        """Nothing."""

    def run_ended(self, record: RunRecord) -> None:
        """Nothing."""


def compare(
    task: Task,
    plan: Plan,
    folder: Path,
    *,
    workers: int = 1,
    observer: Observer | None = None,
    command: str | None = None,
    tests: bool = True,
    keep: Keep | None = None,
) -> tuple[RunRecord, ...]:
    """Runs what of the plan is not finished yet, and returns the records of the whole plan in its order.

    Every run leaves one JSON record in `folder`, written when it ends; the dense starts lie in `dense` inside it.
    Killed and called again, the comparison repeats no finished run, and a changed setting is a new run. A run that
    diverges is reported by its record and does not stop the others; where the dense training of a seed diverges, all
    runs of this seed have.

    Args:
        task: what to prune.
        plan: the runs.
        folder: made if it is missing.
        workers: processes that share the runs; the results do not depend on it.
        observer: told how it goes.
        command: for the records; the program's command line by default.
        tests: whether the pruned models are evaluated on the test split; trials that serve a choice are not.
        keep: which final models are kept, as sparse files in `models` inside the folder; None for none.

    Raises:
        ArgumentError: workers below 1.
        SlrpruneError: a run that cannot be built, or not be sent to a worker process; nothing is trained.
        StateError: `folder` holds records of another version, and nothing is trained; or runs that started from other
            dense weights than those that are there now, and no arm is run.
        NonFiniteError: the dense training of every seed diverged.
    """
    check_count(workers)
    observer = observer or Silent()
    setting = replace(
        check(task, plan, folder),
        command=shlex.join(sys.argv) if command is None else command,
        keep=keep,
        tests=tests,
    )
    folder.mkdir(parents=True, exist_ok=True)
    runs = plan.runs()
    pending = [run for run in runs if not run.is_finished(setting)]
    if workers > 1:
        check_sendable(pending)
    starts = [DenseRun(seed) for seed in dict.fromkeys(run.seed for run in pending)]
    starts = [start for start in starts if not setting.dense.path(start.seed).exists()]
    dense_epochs = 0 if setting.dense.is_pretrained else task.dense_recipe.epochs
    epochs = len(starts) * dense_epochs + sum(run.epochs(setting) for run in pending)
    observer.planned(epochs, len(runs), len(runs) - len(pending))
    starts = starts[:1] if setting.dense.is_pretrained else starts
    if pending:
        with crew(min(workers, len(pending)), setting) as at_work:
            bridge = _Bridge(observer)
            at_work.do(starts, bridge)
            if {run.seed for run in runs} <= bridge.lost.keys():
                raise NonFiniteError("compare", "the loss of every dense training", next(iter(bridge.lost.values())))
            at_work.do(_with_start(pending, setting, bridge), bridge)
    return tuple(run.record(setting) for run in runs)


def _with_start(pending: Sequence[Run], setting: Setting, bridge: "_Bridge") -> tuple[Run, ...]:
    """The runs that can start; the others, whose dense training diverged, have their records at once."""
    lost, records = bridge.lost, load_records(setting.folder)
    for seed in dict.fromkeys(run.seed for run in pending):
        if seed not in lost:
            setting.dense.check_same(seed, setting.conditions, records)
    for run in pending:
        if run.seed in lost:
            bridge.finished(run, run.give_up(setting, lost[run.seed]))
    return tuple(run for run in pending if run.seed not in lost)


def check(task: Task, plan: Plan, folder: Path) -> Setting:
    """Refuses what `compare` would refuse, without training anything; returns what its runs would share.

    Raises:
        SlrpruneError: a run that cannot be built, for example because it is too short for its arm's schedule.
        StateError: `folder` holds records of another version.
    """
    load_records(folder)  # refuses what cannot be read later
    setting = Setting(
        dense=DenseSource(task, folder),
        folder=folder,
        epochs=plan.epochs,
        curve_split=plan.curve_split or ("val" if has_split(task, "val") else None),
        version=__version__,
    )
    plan.check(setting)
    return setting


@dataclass(frozen=True)
class DenseRun:
    """The dense training of one seed, as a piece of work."""

    seed: int

    @property
    def label(self) -> str:
        """For progress and messages."""
        return f"dense training seed {self.seed}"

    def execute(self, setting: Setting, report: Callable[..., None]) -> str | None:
        """Leaves the weights in their file; returns why there are none if the training diverged."""
        try:
            setting.dense.make(self.seed, lambda epoch: report(epoch.number, None))
        except NonFiniteError as error:
            return f"{self.label}: {error}"
        return None


class _Bridge:
    """Passes on to an observer what the workers tell.

    Attributes:
        lost: why a seed has no dense start, for the seeds whose training diverged.
    """

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self.lost: dict[int, str] = {}

    def reported(self, work: Work, number: int, accuracy: float | None) -> None:
        self._observer.epoch_ended(work.label, number, accuracy)

    def finished(self, work: Work, result: RunRecord | str | None) -> None:
        if isinstance(work, DenseRun):
            if isinstance(result, str):
                self.lost[work.seed] = result
        elif isinstance(result, RunRecord):
            self._observer.run_ended(result)
