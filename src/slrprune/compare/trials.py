"""What the trials of a tuning say: every arm takes the best of its settings from their records."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from slrprune.compare.arm import Arm, TuningNote
from slrprune.compare.record import RunRecord, load_records
from slrprune.errors import ArgumentError

FOLDER = "tuning"
"""Where the records of the trials lie, inside the folder of the comparison."""

_ANEW = "Every tuning needs a folder of its own (--out)."


def tuned(arms: Sequence[Arm], folder: Path) -> tuple[Arm, ...]:
    """The arms with the settings that won an earlier tuning, in the order given, for runs of any task at any target.

    The rule is that of `tune`, and nothing is trained. Settings are told apart as records write them, under the arm's
    name: an arm with extras has shorter runs with other work in them, and so needs trials of its own.

    Args:
        arms: what to look up; an arm without alternatives stays as it is.
        folder: of the earlier comparison, with the trials' records in `tuning` inside it.

    Raises:
        ArgumentError: no trials there, or none of an arm; more of one arm than of another; trials of several tasks,
            targets or lengths; a winner that is no longer among the arm's settings.
        SlrpruneError: a record that cannot be read.
    """
    records = load_records(folder / FOLDER)
    if not records:
        rule = f"must have trials in its folder {FOLDER!r}" if folder.is_dir() else "must be a folder that exists"
        raise _refusal(folder, rule, "Name the folder of a comparison that was made with --tune.")
    names = [arm.name for arm in arms if arm.alternatives]
    trials = {name: [record for record in records if record.method == name] for name in names}
    _check_present(folder, trials, records)
    _check_alike(folder, [record for own in trials.values() for record in own])
    _check_even(folder, trials)
    return tuple(best(arm, records) for arm in arms)


def best(arm: Arm, records: Iterable[RunRecord]) -> Arm:
    """The arm with the best of the settings that were tried, and with a note of it; itself where none has a figure.

    A setting is judged by its mean accuracy on the "val" split after the cut; the first of equal ones wins.

    Args:
        arm: with its alternatives.
        records: of trials, also those of other arms.

    Raises:
        ArgumentError: the setting that won is none of the arm's.
    """
    options = {option.settings: option for option in (arm, *arm.alternatives)}
    tried = _by_settings(record for record in records if record.method == arm.name)
    if not arm.alternatives or not tried:
        return arm
    order = [*(name for name in options if name in tried), *(name for name in tried if name not in options)]
    won = max(order, key=lambda settings: _accuracy(tried[settings]))  # the first of equal ones
    if _accuracy(tried[won]) == float("-inf"):
        return arm
    if won not in options:
        rule = f"must still have the setting that won its trials, {won}"
        raise ArgumentError("tuned", "arms", arm.name, rule, f"Tune again. {_ANEW}")
    return replace(options[won], tuned=_note(tried, tried[won]), alternatives=())


def _by_settings(records: Iterable[RunRecord]) -> dict[str, list[RunRecord]]:
    found: dict[str, list[RunRecord]] = {}
    for record in records:
        found.setdefault(record.method_settings, []).append(record)
    return found


def _accuracy(runs: Iterable[RunRecord]) -> float:
    """Mean validation accuracy; minus infinity where a run diverged or could not be measured."""
    accuracies = [run.val_accuracy_after_cut for run in runs]
    return fmean([float("-inf") if accuracy is None else accuracy for accuracy in accuracies])


def _note(tried: Mapping[str, object], runs: Sequence[RunRecord]) -> TuningNote:
    first, seeds = runs[0], tuple(sorted(run.seed for run in runs))
    return TuningNote(len(tried), first.epochs, seeds, first.target, _accuracy(runs), first.task, first.model)


def _refusal(folder: Path, rule: str, way_out: str) -> ArgumentError:
    return ArgumentError("tuned", "folder", str(folder), rule, way_out)


def _check_present(folder: Path, trials: Mapping[str, Sequence[RunRecord]], records: Iterable[RunRecord]) -> None:
    """Every arm has trials."""
    there = sorted({record.method for record in records})
    for name, own in trials.items():
        if not own:
            base = name.partition("+")[0]
            plain = f" Those of {base} are of another arm." if base != name and base in there else ""
            way_out = f"It has trials of {', '.join(there)}.{plain} Tune {name} there as well, or leave it out."
            raise _refusal(folder, f"must have trials of {name}", way_out)


def _check_alike(folder: Path, records: Iterable[RunRecord]) -> None:
    """All trials are of one task, dense start and recipe, target and length."""
    kinds = {(record.conditions, record.target, record.rules): _kind(record) for record in records}
    if len(kinds) > 1:
        told = sorted({*kinds.values()})
        several = "; ".join(told) if len(told) > 1 else f"{told[0]}, by several rules, recipes, data or dense nets"
        raise _refusal(folder, f"must have trials of one kind, and has those of {several}", _ANEW)


def _kind(record: RunRecord) -> str:
    epochs = "1 epoch" if record.epochs == 1 else f"{record.epochs} epochs"
    return f"{record.task}, {record.model}, {record.target}, {epochs}"


def _check_even(folder: Path, trials: Mapping[str, Sequence[RunRecord]]) -> None:
    """Every arm has as many settings tried as the others, each with the same seeds."""
    tried = {name: _by_settings(own) for name, own in trials.items()}
    if len({len(settings) for settings in tried.values()}) > 1:
        counts = ", ".join(f"{len(settings)} of {name}" for name, settings in tried.items())
        way_out = "Call it again with one --tune for all of these methods, or leave some out."
        raise _refusal(folder, f"must have as many trials of each method, and has {counts}", way_out)
    seeds = {tuple(sorted(run.seed for run in runs)) for settings in tried.values() for runs in settings.values()}
    if len(seeds) > 1:
        told = "; ".join(", ".join(map(str, own)) for own in sorted(seeds))
        rule = f"must have every trial with the same seeds, and has {told}"
        raise _refusal(folder, rule, "Finish that tuning first.")
