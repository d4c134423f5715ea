"""What stands under a table once: why runs have no figure, which data was left out, which version made them."""

from collections.abc import Mapping, Sequence

from slrprune.compare.folds import trial_of
from slrprune.compare.record import RunRecord


def notes_on(arms: Mapping[str, Sequence[RunRecord]]) -> tuple[str, ...]:
    """One sentence for every reason and every warning, each once, and one where several versions stand together.

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
