"""Cross-validation: records of a task's folds answer one question together."""

from collections.abc import Sequence

from slrprune.compare.record import RunRecord
from slrprune.compare.statistics import Trial

FOLD = "fold"
"""The setting of a task that names its fold."""

_SIZES = ("train", "val", "test")


def trial_of(record: RunRecord) -> Trial:
    """What another run must share to be compared with this one: the seed and, where there is one, the fold."""
    fold = record.task_settings.get(FOLD)
    return Trial(record.seed, fold if isinstance(fold, int) else None)


def pooled(records: Sequence[RunRecord]) -> list[tuple[tuple[str, ...], RunRecord]]:
    """Every record with the key of its group, in the order given.

    Records belong together if their conditions are the same: task, dense start and recipe. Folds of one task differ in
    their conditions, since their data differ; they are joined where all else that is known of them agrees. Where one
    fold was run under several conditions, it could not be told which of them belong to which of another's, and every
    condition stays a group of its own.
    """
    conditions: dict[tuple[str, ...], dict[int | None, dict[str, None]]] = {}
    for record in records:
        folds = conditions.setdefault(_family(record), {})
        folds.setdefault(trial_of(record).fold, {})[record.conditions] = None
    found = []
    for record in records:
        family = _family(record)
        is_clear = all(len(alike) == 1 for alike in conditions[family].values())
        found.append((family if is_clear else (*family, record.conditions), record))
    return found


def _family(record: RunRecord) -> tuple[str, ...]:
    """What the folds of one cross-validation have in common; the conditions themselves where a task has no folds."""
    base = (record.task, record.model, str(record.epochs), record.recipe)
    if trial_of(record).fold is None:
        return (*base, record.conditions)
    settings = {name: value for name, value in record.task_settings.items() if name != FOLD and name not in _SIZES}
    return (*base, record.dense_start, repr(sorted(settings.items())))
