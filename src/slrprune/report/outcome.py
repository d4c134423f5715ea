"""How one run came out: what the charts over several runs need, from a run's folder or from a record."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slrprune.errors import DataError
from slrprune.report.history import column
from slrprune.report.json_file import read_versioned
from slrprune.report.run_folder import RunFolder
from slrprune.report.values import number, text, whole

_DENSE_ON = {"val": "dense_val_accuracy", "test": "dense_accuracy"}
_OF_FOLDS = ("fold", "train", "val", "test")
"""Settings of a task in which the folds of one cross-validation differ."""

_OF_RECORDS = ("task", "method", "dense_accuracy", "status")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One run. Accuracies are the metric in percent; None stands for what was not measured.

    Attributes:
        source: the folder or file it was read from, as a name.
        method, settings: short name, and all settings as one writes them.
        question: what it was asked, and how: the rules but for their level, the recipe but for its length, the task's
            settings but for its fold; each empty where it is not told. Runs of another question are no further seeds.
        metric: its name; empty where it is not told, as in older records.
        sparsity: asked for, in [0, 1); `reached` is what came out.
        accuracy: of the final model: after retraining where there was one, otherwise after the cut.
        seconds: of training.
        curve: (epoch, accuracy after a cut on a copy), on `curve_split`.
        dense_on_curve_split: accuracy of the dense start there.
        is_dense: whether it is a reference that was not pruned.
    """

    source: str
    task: str
    model: str
    method: str
    settings: str
    question: tuple[tuple[str, ...], ...]
    epochs: int | None
    retrain_epochs: int
    seed: int | None
    metric: str
    split: str
    sparsity: float | None
    reached: float | None
    dense_accuracy: float | None
    accuracy: float | None
    compression: float | None
    model_compression: float | None
    bytes_dense: float | None
    bytes_sparse: float | None
    latency_dense_ms: float | None
    latency_ms: float | None
    seconds: float | None
    status: str
    reason: str
    curve: tuple[tuple[float, float], ...]
    curve_split: str
    dense_on_curve_split: float | None
    is_dense: bool

    @property
    def drop(self) -> float | None:
        """Accuracy minus that of the dense start, in points; negative where pruning cost some."""
        return None if self.accuracy is None or self.dense_accuracy is None else self.accuracy - self.dense_accuracy


def of_run(run: RunFolder) -> Outcome:
    """From the folder of a run; what an unfinished one has not reached yet is None."""
    found, start = run.headline, run.history.start
    settings = text(found.get("method"))
    after = number(found.get("accuracy_after_retraining"))
    epochs = [line for line in run.history.epochs if number(line.get("accuracy_after_cut")) is not None]
    curve_split = text(epochs[-1].get("split")) if epochs else ""
    return Outcome(
        source=run.name,
        task=text(found.get("task")) or "unknown task",
        model=text(found.get("model")),
        method=settings.partition("(")[0] or run.name,
        settings=settings,
        question=_question(found),
        epochs=whole(found.get("epochs")),
        retrain_epochs=whole(found.get("retrain_epochs")) or 0,
        seed=whole(found.get("seed")),
        metric=text(found.get("metric") or start.get("metric")),
        split=text(found.get("split") or start.get("split")),
        sparsity=number(found.get("sparsity")),
        reached=number(found.get("sparsity_reached")),
        dense_accuracy=_first(found.get("dense_accuracy"), start.get("dense_accuracy")),
        accuracy=number(found.get("accuracy_after_cut")) if after is None else after,
        **_measured(found),
        seconds=number(found.get("seconds")),
        status=run.status,
        reason=text(found.get("reason")),
        curve=_curve(zip(column(epochs, "epoch"), column(epochs, "accuracy_after_cut"), strict=True)),
        curve_split=curve_split,
        dense_on_curve_split=number(start.get("dense_accuracy")) if start.get("split") == curve_split else None,
        is_dense=False,
    )


def read_record(path: Path) -> Outcome:
    """From a record that `slrprune compare` or `slrprune demo` wrote.

    Raises:
        DataError: the file is no record.
        StateError: it has another version.
    """
    found = read_versioned(path) or {}
    missing = [name for name in _OF_RECORDS if name not in found]
    if missing:
        raise DataError(
            str(path), f"is no record of a run: it lacks {', '.join(missing)}", "Keep other files elsewhere."
        )
    curve = found.get("curve")
    pairs = curve if isinstance(curve, Sequence) and not isinstance(curve, str) else ()
    return Outcome(
        source=path.stem,
        task=text(found["task"]),
        model=text(found.get("model")),
        method=text(found["method"]),
        settings=text(found.get("method_settings")),
        question=_question(found),
        epochs=whole(found.get("epochs")),
        retrain_epochs=0,
        seed=whole(found.get("seed")),
        metric=_metric_of_record(found),
        split="test",
        sparsity=number(found.get("sparsity")),
        reached=number(found.get("sparsity_reached")),
        dense_accuracy=number(found["dense_accuracy"]),
        accuracy=number(found.get("test_accuracy_after_cut")),
        **_measured(found),
        seconds=number(found.get("wall_time_s")),
        status=text(found["status"]),
        reason=text(found.get("reason")),
        curve=_curve(pair for pair in pairs if isinstance(pair, Sequence) and len(pair) == 2),
        curve_split=text(found.get("curve_split")),
        dense_on_curve_split=number(found.get(_DENSE_ON.get(text(found.get("curve_split")), ""))),
        is_dense=text(found.get("target")) == "dense",
    )


def _question(found: Mapping[str, Any]) -> tuple[tuple[str, ...], ...]:
    rules = re.sub(r"\bsparsity=[\d.e-]+", "sparsity", text(found.get("rules")))
    recipe = re.sub(r"\bepochs=\d+, ", "", text(found.get("recipe")))
    settings = found.get("task_settings")
    told = settings if isinstance(settings, Mapping) else {}
    own = tuple(f"{name}={told[name]}" for name in sorted(told) if name not in _OF_FOLDS)
    return (rules,) if rules else (), (recipe,) if recipe else (), own


def _metric_of_record(found: Mapping[str, Any]) -> str:
    """Its name; older records have it among the task's settings where a task has a choice, or not at all ("")."""
    settings = found.get("task_settings")
    chosen = settings.get("metric") if isinstance(settings, Mapping) else ""
    return text(found.get("metric")) or text(chosen)


def _measured(found: Mapping[str, Any]) -> dict[str, Any]:
    names = ("compression", "model_compression", "bytes_dense", "bytes_sparse", "latency_dense_ms", "latency_ms")
    return {name: number(found.get(name)) for name in names}


def _first(*values: Any) -> float | None:
    return next((found for value in values if (found := number(value)) is not None), None)


def _curve(pairs: Any) -> tuple[tuple[float, float], ...]:
    known = ((number(epoch), number(accuracy)) for epoch, accuracy in pairs)
    return tuple((epoch, accuracy) for epoch, accuracy in known if epoch is not None and accuracy is not None)
