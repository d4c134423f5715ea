"""What stands under a table once: failures, settings that were tuned, data that was left out, versions that differ."""

from collections.abc import Mapping, Sequence
from typing import Any

from slrprune.compare.folds import trial_of
from slrprune.compare.record import RunRecord


def notes_on(arms: Mapping[str, Sequence[RunRecord]]) -> tuple[str, ...]:
    """One sentence for every reason, tuned setting and warning, each once, and one where versions differ.

    Args:
        arms: the runs of one block by the arm's label.
    """
    found: dict[str, None] = {}
    for label, runs in arms.items():
        failed: dict[str, list[RunRecord]] = {}
        for run in runs:
            if not run.is_ok:
                failed.setdefault(f"{run.status.value}. {run.reason}", []).append(run)
            elif run.reason:
                found[run.reason] = None
        for ending, alike in failed.items():
            found[f"{label} at {alike[0].target}, {_trials(alike)}: {ending}"] = None
    found |= {_tuning(run, run.tuning): None for runs in arms.values() for run in runs if run.tuning is not None}
    found |= {warning: None for runs in arms.values() for run in runs for warning in run.warnings}
    versions = sorted({run.slrprune for runs in arms.values() for run in runs if run.slrprune})
    if len(versions) > 1:
        listed = f"{', '.join(versions[:-1])} and {versions[-1]}"
        found[f"These runs were made by slrprune {listed}: the same settings may mean another method."] = None
    return tuple(found)


def _trials(runs: Sequence[RunRecord]) -> str:
    trials = map(trial_of, runs)
    names = [f"{trial.seed}" + ("" if trial.fold is None else f" of fold {trial.fold}") for trial in trials]
    return f"seed {names[0]}" if len(names) == 1 else f"seeds {', '.join(names)}"


def _tuning(run: RunRecord, note: Mapping[str, Any]) -> str:
    """Which setting won, and where; the task is not known of notes that older versions wrote."""
    won = f"{run.method} was tuned: {run.method_settings}"
    if not {"trials", "epochs", "target"} <= note.keys():
        return f"{won}."
    length, count = _counted(note["epochs"], "epoch"), _counted(note["trials"], "trial")
    where = f" on {note['task']}, {note['model']}" if {"task", "model"} <= note.keys() else ""
    return f"{won}, best of {count} of {length} at {note['target']}{where}."


def _counted(count: object, what: str) -> str:
    return f"1 {what}" if count == 1 else f"{count} {what}s"
