"""Several runs side by side: the table, and the charts of accuracy against sparsity, epochs, size and speed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from slrprune.report.arms import Arm, Contest, Level, Spread, contests
from slrprune.report.chart import Absent, Chart, Series, Table
from slrprune.report.outcome import Outcome
from slrprune.report.values import duration, milliseconds, percent, points, share, short, size, times

Value = Callable[[Outcome], float | None]
_GAPS = (5.0, 2.0, 1.0, 0.5)
_MOST_LEVELS = 4


@dataclass(frozen=True)
class SideBySide:
    """One contest, ready to be shown."""

    title: str
    table: Table
    charts: tuple[Chart | Absent, ...]


def side_by_side(outcomes: Sequence[Outcome]) -> tuple[SideBySide, ...]:
    """One entry for each task and model among the runs."""
    found = []
    for position, contest in enumerate(contests(outcomes)):
        key = f"contest-{position}"
        title = f"{contest.task}, {contest.model}" if contest.model else contest.task
        charts = (_frontier(contest, key), *_progress(contest, key), _sizes(contest, key), _speeds(contest, key))
        found.append(SideBySide(title, _table(contest), charts))
    return tuple(found)


def _table(contest: Contest) -> Table:
    header = (
        "method",
        "sparsity",
        "runs",
        contest.metric,
        "against dense",
        "compression",
        "sparse file",
        "latency",
        "training",
    )
    rows = []
    for arm, level in contest.levels():
        diverged = sum(outcome.status == "diverged" for outcome in level.outcomes)
        drop = level.spread(lambda outcome: _difference(outcome.accuracy, outcome.dense_accuracy))
        compression = level.spread(lambda outcome: outcome.compression)
        seconds = level.spread(lambda outcome: outcome.seconds)
        bytes_sparse, latency = (level.spread(value) for value in (_bytes, _latency))
        rows.append(
            (
                arm.label,
                "dense" if arm.is_dense else share(level.at, 1),
                str(len(level.outcomes)) + (f", {diverged} diverged" if diverged else ""),
                _shown(level.spread(_accuracy), lambda value: f"{value:.2f}", " %"),
                "–" if drop is None else points(drop.mean),
                "–" if compression is None else times(compression.mean),
                "–" if bytes_sparse is None else size(bytes_sparse.mean),
                "–" if latency is None else milliseconds(latency.mean),
                "–" if seconds is None else duration(seconds.mean),
            )
        )
    note = "Mean ± standard deviation over seeds; one seed has no ±. A dash: not measured."
    return Table(header, tuple(rows), note)


def _frontier(contest: Contest, key: str) -> Chart | Absent:
    title = f"{contest.metric.capitalize()} against sparsity"
    hint = (
        "Up and to the right is better. Bars: one standard deviation over seeds. Dashed: the mean of the dense starts."
    )
    return _scatter(
        contest, f"{key}-frontier", title, hint, "sparsity, %", lambda level: _scaled(level.at, 100), "sparsity"
    )


def _sizes(contest: Contest, key: str) -> Chart | Absent:
    title = f"Size against {contest.metric}"
    good = [outcome for arm, level in contest.levels() if not arm.is_dense for outcome in level.good]
    if good and all(outcome.bytes_sparse is not None for outcome in good):
        hint = "Up and to the left is better: bytes of the sparse file."
        return _scatter(
            contest,
            f"{key}-size",
            title,
            hint,
            "sparse file, kB",
            lambda level: _scaled(_mean(level, _bytes), 1e-3),
            "kB",
        )
    hint = "Up and to the right is better: parameters of the whole model over those that are not zero. Not of every run is there a file."
    value = lambda level: _mean(level, lambda outcome: outcome.model_compression)  # noqa: E731
    return _scatter(contest, f"{key}-size", title, hint, "compression of the whole model", value, "compression")


def _speeds(contest: Contest, key: str) -> Chart | Absent:
    title = f"Latency against {contest.metric}"
    if all(outcome.latency_ms is None for outcome in contest.outcomes):
        return Absent(title, "The latency was not measured in any of these runs.")
    hint = "Up and to the left is better: one forward pass of the pruned model, as each run measured it."
    return _scatter(contest, f"{key}-latency", title, hint, "latency, ms", lambda level: _mean(level, _latency), "ms")


def _scatter(
    contest: Contest, key: str, title: str, hint: str, x_title: str, x: Callable[[Level], float | None], unit: str
) -> Chart | Absent:
    """Mean accuracy of every arm against `x`, one point a sparsity."""
    series, rows = [], []
    for slot, arm in enumerate(contest.arms):
        found = [
            (level, at, spread)
            for level in arm.levels
            if (at := x(level)) is not None and (spread := level.spread(_accuracy))
        ]
        if arm.is_dense or not found:
            continue
        series.append(
            Series(
                arm.label,
                [at for _, at, _ in found],
                [spread.mean for _, _, spread in found],
                spread=[spread.std for _, _, spread in found],
                labels=[_seeds(spread.count) for _, _, spread in found],
                has_markers=True,
                has_line=len(found) > 1,
                slot=slot,
            )
        )
        rows += [
            (arm.label, short(at), _shown(spread, lambda value: f"{value:.2f}", " %"), str(spread.count))
            for _, at, spread in found
        ]
    if not series:
        return Absent(title, "No run has come to an accuracy.")
    return Chart(
        key=key,
        title=title,
        hint=hint,
        x_title=x_title,
        y_title=f"{contest.metric}, %",
        series=tuple(series),
        levels=_dense_level([outcome.dense_accuracy for outcome in contest.outcomes]),
        suffix=" %",
        table=Table(("method", x_title if unit != "sparsity" else "sparsity, %", contest.metric, "seeds"), tuple(rows)),
    )


def _progress(contest: Contest, key: str) -> list[Chart | Absent]:
    """Accuracy after a cut over the epochs, one chart a sparsity."""
    sparsities = sorted(
        {level.sparsity or 0.0: None for arm, level in contest.levels() if not arm.is_dense}, reverse=True
    )
    charts = [
        _curves(contest, f"{key}-epochs-{position}", sparsity)
        for position, sparsity in enumerate(sparsities[:_MOST_LEVELS])
    ]
    return [chart for chart in charts if isinstance(chart, Chart)] or charts[:1]


def _curves(contest: Contest, key: str, sparsity: float) -> Chart | Absent:
    title = f"Epochs to {contest.metric}" + (f" at {100 * sparsity:.4g} %" if sparsity else "")
    arms = [(slot, arm, level) for slot, arm in enumerate(contest.arms) for level in arm.levels]
    chosen = [
        (slot, arm, level) for slot, arm, level in arms if not arm.is_dense and (level.sparsity or 0.0) == sparsity
    ]
    curves = [(slot, arm, curve) for slot, arm, level in chosen if (curve := _mean_curve(level))]
    if not curves:
        return Absent(title, f"No run measured its {contest.metric} while it trained.")
    outcomes = [outcome for _, _, level in chosen for outcome in level.good]
    splits = " and ".join(dict.fromkeys(outcome.curve_split for outcome in outcomes if outcome.curve_split))
    dense = _dense_level([outcome.dense_on_curve_split for outcome in outcomes])
    series = [
        Series(arm.label, list(curve), [mean for mean, _ in curve.values()], has_markers=len(curve) <= 40, slot=slot)
        for slot, arm, curve in curves
    ]
    return Chart(
        key=key,
        title=title,
        hint=f"After each epoch a copy is cut and tested{f' on the {splits} split' if splits else ''}; means over seeds. "
        "The table says how soon each method came near the dense network.",
        x_title="epochs",
        y_title=f"{contest.metric}, %",
        series=tuple(series),
        levels=dense,
        suffix=" %",
        table=_epochs_table([(arm, curve) for _, arm, curve in curves], dense[0][0] if dense else None),
    )


def _mean_curve(level: Level) -> dict[float, tuple[float, float | None]]:
    """Mean and standard deviation at the epochs that all runs of a level have."""
    curves = [dict(outcome.curve) for outcome in level.good if outcome.curve]
    common = [epoch for epoch in (curves[0] if curves else {}) if all(epoch in curve for curve in curves)]
    values = {epoch: [curve[epoch] for curve in curves] for epoch in common}
    return {epoch: (fmean(found), stdev(found) if len(found) > 1 else None) for epoch, found in values.items()}


def _epochs_table(curves: Sequence[tuple[Arm, dict[float, tuple[float, float | None]]]], dense: float | None) -> Table:
    """The first epoch from which the mean stays within so many points of the dense network."""
    header = ("method", *(f"within {gap:g} points" for gap in _GAPS), "at the end")
    rows = []
    for arm, curve in curves:
        means = [mean for mean, _ in curve.values()]
        reached = [_from_then_on(curve, None if dense is None else dense - gap) for gap in _GAPS]
        rows.append((arm.label, *reached, percent(means[-1])))
    note = "The epoch from which the mean curve stays within that distance of the dense network; a dash: never."
    return Table(header, tuple(rows), note)


def _from_then_on(curve: dict[float, tuple[float, float | None]], least: float | None) -> str:
    found = None
    for epoch, (mean, _) in curve.items():
        if least is None or mean < least:
            found = None
        elif found is None:
            found = epoch
    return "–" if found is None else f"epoch {found:g}"


def _dense_level(values: Sequence[float | None]) -> tuple[tuple[float, str], ...]:
    known = [value for value in values if value is not None]
    return ((fmean(known), f"dense {percent(fmean(known))}"),) if known else ()


def _shown(spread: Spread | None, form: Callable[[float], str], unit: str) -> str:
    if spread is None:
        return "–"
    return form(spread.mean) + ("" if spread.std is None else f" ± {form(spread.std)}") + unit


def _seeds(count: int) -> str:
    return "one seed" if count == 1 else f"{count} seeds"


def _mean(level: Level, value: Value) -> float | None:
    found = level.spread(value)
    return None if found is None else found.mean


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _difference(value: float | None, other: float | None) -> float | None:
    return None if value is None or other is None else value - other


def _accuracy(outcome: Outcome) -> float | None:
    return outcome.accuracy


def _bytes(outcome: Outcome) -> float | None:
    return outcome.bytes_sparse


def _latency(outcome: Outcome) -> float | None:
    return outcome.latency_ms
