"""Accuracy against sparsity, against size and against latency: one point for each method at each sparsity."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from slrprune.report.arms import Arm, Contest, Level
from slrprune.report.chart import Absent, Chart, Series, Table
from slrprune.report.values import milliseconds, percent, short, times

_SAME = 1e-3  # relative: counts are whole numbers, so that equal budgets differ in the last digits


@dataclass(frozen=True)
class Against:
    """What accuracy is drawn against.

    Attributes:
        key: of the chart.
        title, hint: of the chart.
        x_title: of its axis, with the unit.
        value: where a level stands on it; None where that was not measured.
    """

    key: str
    title: str
    hint: str
    x_title: str
    value: Callable[[Level], float | None]


def against_sparsity(contest: Contest, key: str) -> Chart | Absent:
    """The frontier; where all runs have the same sparsity, a line for each method instead."""
    bars = "Bars: one standard deviation over seeds. Dashed: the mean of the dense starts."
    title = f"{contest.metric.capitalize()} against sparsity"
    found = Against(f"{key}-frontier", title, f"Up and to the right is better. {bars}", "sparsity, %", _in_percent)
    same = _same(contest, found)
    if same is None:
        return _drawn(contest, found)
    dots = Against(
        found.key, f"{contest.metric.capitalize()} at {same:.4g} % sparsity", bars, found.x_title, _in_percent
    )
    return _drawn(contest, dots, is_dots=True)


def against_size(contest: Contest, key: str) -> Chart | Absent:
    """Bytes of the sparse file where every run has one, otherwise the compression of the whole model."""
    title = f"{contest.metric.capitalize()} against size"
    good = [outcome for arm, level in contest.levels() if not arm.is_dense for outcome in level.good]
    if good and all(outcome.bytes_sparse is not None for outcome in good):
        hint = "Up and to the left is better: bytes of model.slrprune."
        return _drawn(contest, Against(f"{key}-size", title, hint, "sparse file, kB", _kilobytes))
    hint = (
        "Up and to the right is better: all parameters over those that are not zero. Not every run wrote a sparse file."
    )
    found = Against(f"{key}-size", title, hint, "compression of the whole model", _compression)
    same = _same(contest, found)
    if same is not None:
        return Absent(title, f"All are of one size: the whole model has {times(same)} as many parameters as non-zeros.")
    return _drawn(contest, found)


def against_latency(contest: Contest, key: str) -> Chart | Absent:
    """One forward pass of the pruned model, as far as it was measured."""
    title = f"{contest.metric.capitalize()} against latency"
    if all(outcome.latency_ms is None for outcome in contest.outcomes):
        return Absent(title, "The latency was not measured in any of these runs.")
    hint = "Up and to the left is better: one forward pass of the pruned model, as each run measured it."
    found = Against(f"{key}-latency", title, hint, "latency, ms", _latency)
    same = _same(contest, found)
    if same is not None:
        return Absent(title, f"All take the same time, {milliseconds(same)}.")
    return _drawn(contest, found)


def dense_line(values: Sequence[float | None]) -> tuple[tuple[float, str], ...]:
    """The mean of what is known, as a line to be drawn."""
    known = [value for value in values if value is not None]
    return ((fmean(known), f"dense {percent(fmean(known))}"),) if known else ()


def _drawn(contest: Contest, against: Against, is_dots: bool = False) -> Chart | Absent:
    points = [(slot, arm, _points(arm, against)) for slot, arm in enumerate(contest.arms) if not arm.is_dense]
    known = [(slot, arm, found) for slot, arm, found in points if found]
    if not known:
        return Absent(against.title, "No run has come to an accuracy.")
    rows = [
        (arm.label, short(at), level.accuracy_text, str(len(level.good)))
        for _, arm, found in known
        for level, at in found
    ]
    return Chart(
        key=against.key,
        title=against.title,
        hint=against.hint,
        x_title=against.x_title,
        y_title=f"{contest.metric}, %",
        series=tuple(_series(slot, arm, found) for slot, arm, found in known),
        levels=dense_line([outcome.dense_accuracy for outcome in contest.outcomes]),
        suffix=" %",
        is_dots=is_dots,
        table=Table(("method", against.x_title, contest.metric, "seeds"), tuple(rows)),
    )


def _points(arm: Arm, against: Against) -> list[tuple[Level, float]]:
    """The levels that have both an accuracy and a place on the axis."""
    found = [(level, against.value(level)) for level in arm.levels if level.accuracy is not None]
    return [(level, at) for level, at in found if at is not None]


def _series(slot: int, arm: Arm, found: Sequence[tuple[Level, float]]) -> Series:
    accuracies = [level.accuracy for level, _ in found]
    return Series(
        arm.label,
        [at for _, at in found],
        [None if spread is None else spread.mean for spread in accuracies],
        spread=[None if spread is None else spread.std for spread in accuracies],
        labels=[_seeds(0 if spread is None else spread.count) for spread in accuracies],
        has_markers=True,
        has_line=len(found) > 1,
        slot=slot,
    )


def _same(contest: Contest, against: Against) -> float | None:
    """The place that all points share; None where they differ, or there is only one."""
    found = [at for arm in contest.arms if not arm.is_dense for _, at in _points(arm, against)]
    return found[0] if len(found) > 1 and max(found) - min(found) <= _SAME * abs(max(found)) else None


def _seeds(count: int) -> str:
    return "one seed" if count == 1 else f"{count} seeds"


def _in_percent(level: Level) -> float | None:
    return None if level.at is None else 100 * level.at


def _kilobytes(level: Level) -> float | None:
    found = level.mean(lambda outcome: outcome.bytes_sparse)
    return None if found is None else found / 1000


def _compression(level: Level) -> float | None:
    return level.mean(lambda outcome: outcome.model_compression)


def _latency(level: Level) -> float | None:
    return level.mean(lambda outcome: outcome.latency_ms)
