"""From records to the rows of a table: one block for each question, one row for each arm."""

from collections.abc import Iterable, Mapping, Sequence

from slrprune.compare.against import Against
from slrprune.compare.block import Block, Row
from slrprune.compare.folds import pooled, trial_of
from slrprune.compare.notes import notes_on
from slrprune.compare.record import RunRecord
from slrprune.compare.statistics import Summary, Trial, paired_difference, summarize

_DENSE = "dense"
_BEST = Against()


def blocks(records: Iterable[RunRecord], against: Against = _BEST) -> tuple[Block, ...]:
    """Groups records into blocks, ordered by task, model, length, sparsity, label.

    Dense reference runs join every block that shares their conditions. The folds of a cross-validation are one block.
    Rules that differ are different questions, under one label too; the blocks then say which rules they are of.

    Args:
        records: of any runs.
        against: with whom every arm is compared, and which arms are left out.

    Raises:
        ArgumentError: a name in `against` that no record or no arm bears, or that stands for several settings.
    """
    known = list(records)
    against.check([record.method for record in known], "table")
    grouped: dict[tuple[str, ...], dict[tuple[str, str], list[RunRecord]]] = {}
    for key, record in pooled([record for record in known if record.method not in against.without]):
        rules = "" if record.target == _DENSE else record.rules
        grouped.setdefault(key, {}).setdefault((record.target, rules), []).append(record)
    found: list[tuple[tuple[str, str, int, float, str], Block]] = []
    for targets in grouped.values():
        reference = targets.pop((_DENSE, ""), []) if len(targets) > 1 else []
        labels = [label for label, _ in targets]
        for (label, rules), group in targets.items():
            first, target = group[0], label if labels.count(label) == 1 else f"{label} by {rules}"
            sparsity = first.sparsity if first.sparsity is not None else 1.0
            block = _block(target, group, reference, against)
            found.append(((first.task, first.model, first.epochs, sparsity, target), block))
    against.check_label([row.method for _, block in found for row in block.rows], "table")
    return tuple(block for _, block in sorted(found, key=lambda pair: pair[0]))


def _block(target: str, group: Sequence[RunRecord], reference: Sequence[RunRecord], against: Against) -> Block:
    arms = _labelled([*reference, *group])
    accuracies = {label: _accuracies(runs) for label, runs in arms.items()}
    rivals = {label: accuracies[label] for label, runs in arms.items() if against.rival or _prunes(runs)}
    rows = [
        _row(label, runs, against.choose(label, rivals) if _prunes(runs) else None, accuracies)
        for label, runs in arms.items()
    ]
    rows.sort(key=lambda row: (row.prunes, -row.accuracy.mean if row.accuracy else 1.0))
    trials = {trial_of(record): None for record in group}
    folds = {trial.fold: None for trial in trials}
    return Block(
        task=group[0].task,
        model=group[0].model,
        metric=next((record.metric for record in group if record.metric), "accuracy"),
        target=target,
        epochs=group[0].epochs,
        seeds=len({trial.seed: None for trial in trials}),
        folds=len(folds) if len(folds) > 1 else 0,
        dense=_dense(group),
        rows=tuple(rows),
        curve_split=next((record.curve_split for record in group if record.curve_split), None),
        against=against.rival,
        without=against.without,
        notes=notes_on(arms),
    )


def _labelled(runs: Iterable[RunRecord]) -> dict[str, list[RunRecord]]:
    """The runs of every arm under its name, or under name and settings where one name has several."""
    arms: dict[tuple[str, str], list[RunRecord]] = {}
    for run in runs:
        arms.setdefault((run.method, run.method_settings), []).append(run)
    names = [method for method, _ in arms]
    return {method if names.count(method) == 1 else f"{method}: {own}": alike for (method, own), alike in arms.items()}


def _prunes(runs: Sequence[RunRecord]) -> bool:
    return runs[0].target != _DENSE


def _dense(group: Iterable[RunRecord]) -> Summary | None:
    """Of the different dense starts: trained weights are one network, whatever the seed."""
    starts = {
        trial_of(record)._replace(seed=0) if record.is_pretrained else trial_of(record): record.dense_accuracy
        for record in group
    }
    return _summary(starts.values())


def _row(
    label: str, runs: Sequence[RunRecord], rival: str | None, accuracies: Mapping[str, Mapping[Trial, float]]
) -> Row:
    good = [run for run in runs if run.test_accuracy_after_cut is not None]
    own = accuracies[label]
    drops = [run.dense_accuracy - own[trial_of(run)] for run in good if run.dense_accuracy is not None]
    return Row(
        method=label,
        prunes=_prunes(runs),
        accuracy=_summary(own.values()),
        drop=_summary(drops),
        sparsity=_mean(run.sparsity_reached for run in runs),
        compression=_mean(run.compression for run in runs),
        seconds=_mean(run.wall_time_s for run in runs if not run.is_diverged),
        runs=len(runs),
        seeds=tuple(sorted({run.seed for run in runs})),
        diverged=sum(run.is_diverged for run in runs),
        unmeasured=sum(not run.is_ok and not run.is_diverged for run in runs),
        falls_short=any(_falls_short(run) for run in good),
        rival=rival,
        lead=paired_difference(own, accuracies[rival]) if rival is not None else None,
        curve=_mean_curve(good),
    )


def _summary(values: Iterable[float | None]) -> Summary | None:
    """Of those that are known; None without any."""
    known = [value for value in values if value is not None]
    return summarize(known) if known else None


def _mean(values: Iterable[float | None]) -> float | None:
    found = _summary(values)
    return None if found is None else found.mean


def _accuracies(runs: Iterable[RunRecord]) -> dict[Trial, float]:
    """Test accuracies, for the runs that have one: neither diverged nor trials for a choice."""
    return {trial_of(run): run.test_accuracy_after_cut for run in runs if run.test_accuracy_after_cut is not None}


def _falls_short(run: RunRecord) -> bool:
    """By more than one part in a thousand: counts are whole numbers, and floors keep a few weights."""
    return run.sparsity is not None and run.sparsity_reached is not None and run.sparsity_reached < run.sparsity - 1e-3


def _mean_curve(runs: Sequence[RunRecord]) -> tuple[tuple[int, float], ...]:
    curves = [dict(run.curve) for run in runs if run.curve]
    common = [epoch for epoch in (curves[0] if curves else {}) if all(epoch in curve for curve in curves)]
    return tuple((epoch, summarize([curve[epoch] for curve in curves]).mean) for epoch in common)
