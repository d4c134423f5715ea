"""From records to the rows of a table: one block for each question, one row for each arm."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from slrprune.compare.folds import pooled, trial_of
from slrprune.compare.record import RunRecord
from slrprune.compare.statistics import PairedDifference, Summary, Trial, best_rival, paired_difference, summarize

_DENSE = "dense"


@dataclass(frozen=True)
class Row:
    """One arm in one block.

    Attributes:
        method: name of the arm, with its settings where the block holds several settings under one name.
        prunes: whether it is a contestant; False for the dense reference.
        accuracy: test accuracy after the cut, in percent; None where every run diverged.
        drop: dense start minus that, run by run, in points.
        sparsity: mean fraction of zeros reached, over the pruned weights.
        compression: mean of numel / nnz over the pruned weights.
        seconds: mean training time of a run.
        runs: how many there are.
        diverged: how many of them diverged.
        falls_short: whether a run stayed below the sparsity asked for, which makes its accuracy no fair figure.
        rival: the best other arm.
        lead: this arm minus the rival, over common seeds and folds.
        curve: (epoch, mean accuracy after the cut on a copy) of the runs that did not diverge.
    """

    method: str
    prunes: bool
    accuracy: Summary | None
    drop: Summary | None
    sparsity: float | None
    compression: float | None
    seconds: float
    runs: int
    diverged: int
    falls_short: bool
    rival: str | None = None
    lead: PairedDifference | None = None
    curve: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Block:
    """Arms that were asked the same: task, model, dense start, recipe, length, target.

    Attributes:
        seeds: how many different seeds there are.
        folds: how many folds of a cross-validation; 0 where it is none.
        dense: test accuracy of the dense starts, over seeds and folds.
        rows: the dense reference first, then the best accuracy first, diverged arms last.
        curve_split: where the curves were taken; None without curves.
    """

    task: str
    model: str
    target: str
    epochs: int
    seeds: int
    folds: int
    dense: Summary
    rows: tuple[Row, ...]
    curve_split: str | None


def blocks(records: Iterable[RunRecord]) -> tuple[Block, ...]:
    """Groups records into blocks, ordered by task, model, length, sparsity, label.

    Dense reference runs join every block that shares their conditions. The folds of a cross-validation are one block.
    """
    grouped: dict[tuple[str, ...], dict[str, list[RunRecord]]] = {}
    for key, record in pooled(list(records)):
        grouped.setdefault(key, {}).setdefault(record.target, []).append(record)
    found: list[tuple[tuple[str, str, int, float, str], Block]] = []
    for targets in grouped.values():
        reference = targets.pop(_DENSE, []) if len(targets) > 1 else []
        for target, group in targets.items():
            first = group[0]
            sparsity = first.sparsity if first.sparsity is not None else 1.0
            found.append(((first.task, first.model, first.epochs, sparsity, target), _block(target, group, reference)))
    return tuple(block for _, block in sorted(found, key=lambda pair: pair[0]))


def _block(target: str, group: Sequence[RunRecord], reference: Sequence[RunRecord]) -> Block:
    arms: dict[tuple[str, str], list[RunRecord]] = {}
    for record in (*reference, *group):
        arms.setdefault((record.method, record.method_settings), []).append(record)
    names = [method for method, _ in arms]
    labels = {key: key[0] if names.count(key[0]) == 1 else f"{key[0]}: {key[1]}" for key in arms}
    accuracies = {labels[key]: _accuracies(runs) for key, runs in arms.items() if runs[0].target != _DENSE}
    rows = []
    for key, runs in arms.items():
        rivals = {name: values for name, values in accuracies.items() if name != labels[key]}
        rows.append(_row(labels[key], runs, rivals))
    rows.sort(key=lambda row: (row.prunes, -row.accuracy.mean if row.accuracy else 1.0))
    starts = {trial_of(record): record.dense_accuracy for record in group}
    folds = {trial.fold: None for trial in starts}
    return Block(
        task=group[0].task,
        model=group[0].model,
        target=target,
        epochs=group[0].epochs,
        seeds=len({trial.seed: None for trial in starts}),
        folds=len(folds) if len(folds) > 1 else 0,
        dense=summarize([*starts.values()]),
        rows=tuple(rows),
        curve_split=next((record.curve_split for record in group if record.curve_split), None),
    )


def _row(label: str, runs: Sequence[RunRecord], rivals: dict[str, dict[Trial, float]]) -> Row:
    good = [run for run in runs if run.test_accuracy_after_cut is not None]
    accuracies = _accuracies(runs)
    prunes = runs[0].target != _DENSE
    rival = best_rival(accuracies, rivals) if prunes else None
    sparsities = [run.sparsity_reached for run in good if run.sparsity_reached is not None]
    compressions = [run.compression for run in good if run.compression is not None]
    return Row(
        method=label,
        prunes=prunes,
        accuracy=summarize([*accuracies.values()]) if accuracies else None,
        drop=summarize([run.dense_accuracy - accuracies[trial_of(run)] for run in good]) if good else None,
        sparsity=summarize(sparsities).mean if sparsities else None,
        compression=summarize(compressions).mean if compressions else None,
        seconds=summarize([run.wall_time_s for run in runs]).mean,
        runs=len(runs),
        diverged=sum(not run.is_ok for run in runs),
        falls_short=any(_falls_short(run) for run in good),
        rival=rival,
        lead=paired_difference(accuracies, rivals[rival]) if rival is not None else None,
        curve=_mean_curve(good),
    )


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
