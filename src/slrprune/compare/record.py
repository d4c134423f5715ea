"""What is known about one run of one arm, as one small JSON file."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import Enum
from pathlib import Path
from typing import Any, get_type_hints

from slrprune.atomic import write_atomically
from slrprune.compare.kinds import fits
from slrprune.errors import DataError, StateError

RECORD_VERSION = 1
"""Version of the format. Records of different versions are never mixed."""

_AGAIN = "Move it away, and the run will be repeated."

PRETRAINED = "pretrained"
"""How `RunRecord.dense_start` begins where all seeds start from the same trained weights."""


class Status(str, Enum):
    """How a run ended."""

    OK = "ok"
    DIVERGED = "diverged"
    UNMEASURED = "unmeasured"  # the weights are finite, and the metric is no number


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """One run. Accuracies are the task's metric, in percent.

    Attributes:
        task: name of the task.
        model: name of its model.
        method: name of the arm.
        method_settings: the arm's settings, as one would write them.
        target: label of the target; "dense" for an arm that does not prune.
        rules: what the arm pruned by, as one would write it.
        sparsity: the sparsity asked for, in [0, 1), where the rules ask for one.
        epochs: length of the run.
        seed: of the data order, and of the dense training where there was one.
        recipe: optimizer and schedule, as one would write them.
        conditions: fingerprint of what all arms of a comparison share: task, dense start, recipe.
        identity: fingerprint of everything that defines the result.
        dense_accuracy: of the dense start, on the test split; None where the metric is no number there, as every
            accuracy below.
        dense_val_accuracy: the same on the "val" split; None where the task has none, as below.
        test_accuracy_after_cut: after the hard cut; None for a diverged run, as the next five, and for a trial that
            served a choice.
        val_accuracy_after_cut: the same on the "val" split.
        sparsity_reached: fraction of zeros over the weights that the rules select.
        compression: numel / nnz over those weights.
        model_compression: numel / nnz over all parameters.
        curve: (epoch, accuracy after the cut on a copy) at the end of every epoch, on `curve_split`; epochs where the
            metric is no number are left out.
        curve_split: "val" or "test"; None where no curve was taken.
        losses: mean training loss of every epoch.
        steps: optimizer steps made; fewer than in `epochs` where the arm paid for extra work.
        wall_time_s: seconds of training, evaluations left out.
        status: how the run ended.
        reason: why it diverged, or where the metric is no number; empty for other runs.
        command: how the program was called.
        task_settings: what the task was set to, as far as it is plain values.
        dense_start: where the dense weights came from.
        machine: what it ran on, with versions.
        slrprune: version of this library.
        tuning: how the arm came by its settings (`TuningNote`); None where it was not tuned, and in older records.
        metric: name of the task's metric; empty in older records that do not tell it.
        warnings: what the task had left out of its data by the end of the run (`Task.warnings`).
        dense_weights: fingerprint of the dense weights that the run started from; empty in older records.
    """

    task: str
    model: str
    method: str
    method_settings: str
    target: str
    rules: str
    sparsity: float | None
    epochs: int
    seed: int
    recipe: str
    conditions: str
    identity: str
    dense_accuracy: float | None
    dense_val_accuracy: float | None = None
    test_accuracy_after_cut: float | None = None
    val_accuracy_after_cut: float | None = None
    sparsity_reached: float | None = None
    compression: float | None = None
    model_compression: float | None = None
    curve: tuple[tuple[int, float], ...] = ()
    curve_split: str | None = None
    losses: tuple[float, ...] = ()
    steps: int = 0
    wall_time_s: float = 0.0
    status: Status = Status.OK
    reason: str = ""
    command: str = ""
    task_settings: Mapping[str, bool | int | float | str] = field(default_factory=dict)
    dense_start: str = ""
    machine: Mapping[str, str | int] = field(default_factory=dict)
    slrprune: str = ""
    tuning: Mapping[str, Any] | None = None
    metric: str = ""
    warnings: tuple[str, ...] = ()
    dense_weights: str = ""

    @property
    def is_ok(self) -> bool:
        """Whether the run came to its end with finite weights and a figure."""
        return self.status is Status.OK

    @property
    def is_diverged(self) -> bool:
        """Whether the run left no weights that could be judged."""
        return self.status is Status.DIVERGED

    @property
    def is_pretrained(self) -> bool:
        """Whether every seed starts from the same dense weights."""
        return self.dense_start.startswith(PRETRAINED)

    def to_json(self) -> str:
        """The record with its version, one field a line in the order of the fields."""
        content = {"version": RECORD_VERSION, **asdict(self)}
        lines = [f" {json.dumps(name)}: {json.dumps(value, allow_nan=False)}" for name, value in content.items()]
        return "{\n" + ",\n".join(lines) + "\n}\n"

    def save(self, path: Path) -> None:
        """Writes the record; a killed process leaves no half of it."""
        text = self.to_json()
        write_atomically(path, lambda partial: partial.write_text(text, encoding="utf-8"))


def load_record(path: Path) -> RunRecord:
    """Reads one record.

    Raises:
        StateError: the record has another version.
        DataError: the file is no record.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(str(path), "cannot be read as JSON", _AGAIN) from error
    version = content.get("version") if isinstance(content, dict) else None
    if version is None:
        raise DataError(str(path), "is no record of a run", "Keep other JSON files out of this folder.")
    if version != RECORD_VERSION or type(version) is not int:
        problem = f"has version {version}, and this program writes version {RECORD_VERSION}"
        raise StateError(str(path), problem, "Take another folder: records of two versions are not mixed.")
    return _from_content(path, content)


def load_records(folder: Path) -> tuple[RunRecord, ...]:
    """All records of a folder, in the order of their file names.

    Raises:
        StateError: a record has another version.
        DataError: a file is no record, or two are records of one run.
    """
    found: dict[str, tuple[Path, RunRecord]] = {}
    for path in sorted(folder.glob("*.json")):
        record = load_record(path)
        if record.identity in found:
            problem = f"holds the same run as {found[record.identity][0].name}"
            raise DataError(str(path), problem, "Move one of the two away: a run counts once.")
        found[record.identity] = path, record
    return tuple(record for _, record in found.values())


_LATER: Mapping[str, Any] = {"tuning": None, "metric": "", "warnings": [], "dense_weights": ""}
"""Fields that came later within the same version, with what older records are taken to say."""


def _metric_of(settings: Any) -> str:
    """Tasks with a choice of metrics have always told theirs among their settings."""
    return str(settings.get("metric", "")) if isinstance(settings, dict) else ""


def _from_content(path: Path, content: dict[str, Any]) -> RunRecord:
    content = {**_LATER, **content}
    content["metric"] = content["metric"] or _metric_of(content.get("task_settings"))
    names = [entry.name for entry in fields(RunRecord)]
    missing = [name for name in names if name not in content]
    if missing:
        raise DataError(str(path), f"lacks {', '.join(missing)}", _AGAIN)
    values = {name: content[name] for name in names}
    kinds = get_type_hints(RunRecord)
    for name, value in values.items():
        if not fits(value, kinds[name]):
            problem = f"has {json.dumps(value)[:60]} for {name}, which is not of the kind that belongs there"
            raise DataError(str(path), problem, _AGAIN)
    values["status"] = Status(values["status"])
    values["curve"] = tuple((epoch, accuracy) for epoch, accuracy in values["curve"])
    values["losses"], values["warnings"] = tuple(values["losses"]), tuple(values["warnings"])
    record = RunRecord(**values)
    if record.is_ok and record.test_accuracy_after_cut is None and record.val_accuracy_after_cut is None:
        raise DataError(str(path), "says that the run is ok, and has no figure", _AGAIN)
    return record
