"""One run of one arm: from the dense start through training and the hard cut to its record."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import nn

from slrprune.compare.arm import Arm, TuningNote
from slrprune.compare.identity import combine, fingerprint
from slrprune.compare.keep import Keep, kept_path
from slrprune.compare.measure import Measure, metric_of
from slrprune.compare.record import RECORD_VERSION, RunRecord, Status, load_record
from slrprune.compare.settings import task_settings
from slrprune.compare.start import DenseSource, DenseStart
from slrprune.errors import NonFiniteError
from slrprune.machine import describe_machine
from slrprune.rules import Rules, assign
from slrprune.target import Target
from slrprune.tasks.base import Split, Task, has_split
from slrprune.tasks.recipe import Recipe
from slrprune.train.distillation import Teacher
from slrprune.train.loop import Epoch, train

Report = Callable[[int, float | None], None]
"""Takes the number of an epoch that ended, and the accuracy after the cut on a copy where it was measured."""


@dataclass(frozen=True)
class Setting:
    """What all runs of a comparison share.

    Attributes:
        dense: the source of the dense starts; it holds the task.
        folder: where the records go.
        epochs: length of every run.
        curve_split: the split on which the curve is taken; None for no curve.
        command: how the program was called.
        version: of slrprune.
        tests: whether the test split is looked at; trials that serve a choice leave it alone.
        keep: which final models are kept; None for none.
    """

    dense: DenseSource
    folder: Path
    epochs: int
    curve_split: Split | None
    command: str = ""
    version: str = ""
    tests: bool = True
    keep: Keep | None = None

    @property
    def task(self) -> Task:
        """The task."""
        return self.dense.task

    @property
    def recipe(self) -> Recipe:
        """The task's pruning recipe at the length of this comparison."""
        return replace(self.task.pruning_recipe, epochs=self.epochs)

    @cached_property
    def conditions(self) -> str:
        """Fingerprint of all that the arms share: task, dense start, recipe."""
        return combine({"dense": self.dense.fingerprint, "recipe": repr(self.recipe)})


@dataclass(frozen=True)
class Run:
    """One arm at one target with one seed.

    Args:
        arm: the arm.
        target: what it is asked to reach; None for an arm that does not prune.
        seed: at least 0.
    """

    arm: Arm
    target: Target | None
    seed: int

    @property
    def label(self) -> str:
        """For progress and messages."""
        return " ".join([self.arm.name, *([self.target.label] if self.target else []), f"seed {self.seed}"])

    def steps(self, setting: Setting) -> int:
        """Training steps, once the arm has paid for its extra work out of the budget."""
        return self.arm.extras.steps(setting.recipe.epochs * setting.task.steps_per_epoch)

    def epochs(self, setting: Setting) -> int:
        """Epochs that the run begins; fewer than asked for where the arm pays for extra work."""
        return -(-self.steps(setting) // setting.task.steps_per_epoch)

    def identity(self, setting: Setting) -> str:
        """Fingerprint of everything that defines the result."""
        return combine(
            {
                "version": RECORD_VERSION,
                "conditions": setting.conditions,
                "arm": self.arm.name,
                "settings": self.arm.settings,
                "rules": self.target.settings if self.target else "",
                "seed": self.seed,
            }
        )

    def path(self, setting: Setting) -> Path:
        """Where the record of this run is kept."""
        task, target = setting.task, self.target.label.replace("%", "pct") if self.target else "dense"
        parts = [task.name, task.model_name, self.arm.name, target, f"e{setting.epochs}", f"s{self.seed}"]
        return setting.folder / f"{'-'.join([*parts, self.identity(setting)[:8]])}.json"

    def is_finished(self, setting: Setting) -> bool:
        """Whether the record of this run is there, with all that is asked for now.

        A diverged run is finished, since it would diverge again. A trial has no figure on the test split, and a run may
        have its curve on another split: neither is an answer.
        """
        path = self.path(setting)
        if not path.exists():
            return False
        record = load_record(path)
        wanted = setting.keep is not None and setting.keep.wants(self.arm.name, self.seed)
        has_model = not wanted or record.is_diverged or kept_path(path).exists()
        has_curve = setting.curve_split in (None, record.curve_split) or record.is_diverged
        has_test = not setting.tests or record.test_accuracy_after_cut is not None or record.status is not Status.OK
        return record.identity == self.identity(setting) and has_model and has_curve and has_test

    def record(self, setting: Setting) -> RunRecord:
        """The record of the finished run.

        It may be older than the tuning that chose the arm's setting; then it is told of it, in the file as well.
        """
        record = load_record(self.path(setting))
        tuning = _told(self.arm.tuned)
        if tuning is None or record.tuning == tuning:
            return record
        replace(record, tuning=tuning).save(self.path(setting))
        return load_record(self.path(setting))

    def execute(self, setting: Setting, report: Report) -> RunRecord:
        """Trains, cuts, does the arm's extra work, evaluates and saves the record; a diverged run has a record, too.

        The figure on the test split is taken once, at the very end.
        """
        model, start = setting.dense.load(self.seed)
        weights = fingerprint(model.state_dict())
        extras = self.arm.extras
        teacher = None if extras.distil is None else Teacher(model, extras.distil)
        rules: Rules = self.target.rules if self.target else {}
        measure = Measure(setting.task)
        diary = _Diary(measure, setting.curve_split, report)
        try:
            run = train(
                model,
                setting.task,
                setting.recipe,
                seed=self.seed,
                trainer=lambda model, optimizer, steps: self.arm.trainer(model, optimizer, rules, steps),
                teacher=teacher,
                steps=self.steps(setting),
                on_epoch=diary.note,
            )
            run.trainer.finalize()
            with diary.timed():
                extras.finish_(model, setting.task, setting.epochs, self.seed)
            _check_finite(model)
        except NonFiniteError as error:
            ending: dict[str, Any] = {"status": Status.DIVERGED, "reason": str(error)}
        else:
            ending = self._ending(model, setting, measure)
        known = self._defining(setting) | _dense_figures(start, measure) | {"dense_weights": weights}
        ending = {"reason": measure.reason, "warnings": setting.task.warnings()} | ending
        record = RunRecord(**known, **diary.fields(), **ending)
        if not record.is_diverged and setting.keep is not None and setting.keep.wants(self.arm.name, self.seed):
            setting.keep.save(model, setting.task, self.path(setting), self.label)  # first: a record ends the run
        record.save(self.path(setting))
        return record

    def give_up(self, setting: Setting, reason: str) -> RunRecord:
        """The record of a run that has no dense start, since that diverged; saved like any other."""
        known = self._defining(setting) | {"dense_accuracy": None}
        record = RunRecord(**known, status=Status.DIVERGED, reason=reason)
        record.save(self.path(setting))
        return record

    def _defining(self, setting: Setting) -> dict[str, Any]:
        """The fields that are known before the run."""
        return {
            "task": setting.task.name,
            "model": setting.task.model_name,
            "metric": metric_of(setting.task),
            "method": self.arm.name,
            "method_settings": self.arm.settings,
            "target": self.target.label if self.target else "dense",
            "rules": self.target.settings if self.target else "",
            "sparsity": self.target.sparsity if self.target else 0.0,
            "epochs": setting.epochs,
            "seed": self.seed,
            "recipe": repr(setting.recipe),
            "conditions": setting.conditions,
            "identity": self.identity(setting),
            "command": setting.command,
            "task_settings": task_settings(setting.task),
            "dense_start": setting.dense.origin,
            "machine": describe_machine(setting.task.device),
            "slrprune": setting.version,
            "tuning": _told(self.arm.tuned),
        }

    def _ending(self, model: nn.Module, setting: Setting, measure: Measure) -> dict[str, Any]:
        """The fields that the final model shows; without the figure that the run was made for it is unmeasured."""
        task = setting.task
        numel, nnz = _counts(model, self.target.rules) if self.target else (1, 1)
        parameters = list(model.parameters())
        model_nnz = sum(int(parameter.count_nonzero()) for parameter in parameters)
        val = measure.evaluate(model, "val", _AFTER) if has_split(task, "val") else None
        test = measure.evaluate(model, "test", _AFTER) if setting.tests else None
        is_measured = (test if setting.tests else val) is not None or not measure.reason
        return {
            "status": Status.OK if is_measured else Status.UNMEASURED,
            "val_accuracy_after_cut": val,
            "test_accuracy_after_cut": test,
            "sparsity_reached": 1 - nnz / numel,
            "compression": numel / max(1, nnz),
            "model_compression": sum(parameter.numel() for parameter in parameters) / max(1, model_nnz),
        }


_AFTER = "after the cut"


def _told(tuned: TuningNote | None) -> dict[str, Any] | None:
    """How a setting was found, as a record holds it."""
    return None if tuned is None else asdict(tuned) | {"seeds": list(tuned.seeds)}


def _check_finite(model: nn.Module) -> None:
    """The last step has no next loss that would show its NaN, and a network of NaN still names some class."""
    bad = [name for name, parameter in model.named_parameters() if not parameter.detach().isfinite().all()]
    bad += [name for name, buffer in model.named_buffers() if buffer.isnan().any()]  # masks of -inf are no accident
    if bad:
        raise NonFiniteError("after the last step", bad[0])


def _dense_figures(start: DenseStart, measure: Measure) -> dict[str, float | None]:
    """What the dense start reached, as fields of the record."""
    whose = "of the dense start"
    return {
        "dense_accuracy": measure.checked(start.accuracy, "test", whose),
        "dense_val_accuracy": measure.checked(start.val_accuracy, "val", whose),
    }


class _Diary:
    """What is written down while a run is under way.

    Args:
        measure: for the evaluations.
        split: the split on which the curve is taken; None for no curve.
        report: told about every epoch.
    """

    def __init__(self, measure: Measure, split: Split | None, report: Report) -> None:
        self._measure, self._split, self._report = measure, split, report
        self._curve: list[tuple[int, float]] = []
        self._losses: list[float] = []
        self._steps, self._seconds = 0, 0.0

    def note(self, epoch: Epoch) -> None:
        """Called at the end of every epoch."""
        self._steps, self._seconds = epoch.steps, epoch.seconds
        self._losses.append(epoch.loss)
        accuracy = None
        if self._split is not None and (copy := epoch.trainer.preview()) is not None:
            accuracy = self._measure.evaluate(copy, self._split, f"{_AFTER} on a copy")
            self._curve += [] if accuracy is None else [(epoch.number, accuracy)]
        self._report(epoch.number, accuracy)

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Adds what happens inside the block to the time of the run."""
        start = time.perf_counter()
        yield
        self._seconds += time.perf_counter() - start

    def fields(self) -> dict[str, Any]:
        """Fields of the record."""
        return {
            "curve": tuple(self._curve),
            "curve_split": self._split if self._curve else None,
            "losses": tuple(self._losses),
            "steps": self._steps,
            "wall_time_s": round(self._seconds, 3),
        }


def _counts(model: nn.Module, rules: Rules) -> tuple[int, int]:
    """Entries and non-zeros of the weights that the rules select, counted the same way for every arm."""
    assignments, _ = assign(model, rules)
    weights = [target.parameter for assignment in assignments for target in assignment.targets]
    return sum(weight.numel() for weight in weights), sum(int(weight.count_nonzero()) for weight in weights)
