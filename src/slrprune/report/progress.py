"""How soon each method came near the dense network: accuracy after a cut over the epochs."""

from collections.abc import Mapping, Sequence
from statistics import fmean

from slrprune.report.arms import Arm, Contest, Level
from slrprune.report.chart import Absent, Chart, Series, Table
from slrprune.report.frontier import dense_line
from slrprune.report.values import DASH, percent

_GAPS = (5.0, 2.0, 1.0, 0.5)  # points below the dense network
_MOST_CHARTS = 4

Curve = Mapping[float, float]
"""Epoch to mean accuracy."""


def progress(contest: Contest, key: str) -> list[Chart | Absent]:
    """One chart for each sparsity, the highest first."""
    found = {level.sparsity or 0.0: None for arm, level in contest.levels() if not arm.is_dense}
    highest = sorted(found, reverse=True)[:_MOST_CHARTS]
    charts = [_chart(contest, f"{key}-epochs-{position}", sparsity) for position, sparsity in enumerate(highest)]
    return [chart for chart in charts if isinstance(chart, Chart)] or charts[:1]


def _chart(contest: Contest, key: str, sparsity: float) -> Chart | Absent:
    metric = contest.metric
    title = f"Epochs to {metric}" + (f" at {100 * sparsity:.4g} % sparsity" if sparsity else "")
    chosen = [
        (slot, arm, level)
        for slot, arm in enumerate(contest.arms)
        for level in arm.levels
        if not arm.is_dense and (level.sparsity or 0.0) == sparsity
    ]
    curves = [(slot, arm, curve) for slot, arm, level in chosen if (curve := _mean_curve(level))]
    if not curves:
        return Absent(title, f"No run measured its {metric} while it trained.")
    outcomes = [outcome for _, _, level in chosen for outcome in level.good]
    splits = " and ".join(dict.fromkeys(outcome.curve_split for outcome in outcomes if outcome.curve_split))
    dense = dense_line([outcome.dense_on_curve_split for outcome in outcomes])
    where = f" on the {splits} split" if splits else ""
    return Chart(
        key=key,
        title=title,
        hint=f"After each epoch a copy is cut to the final sparsity and tested{where}; means over seeds. "
        "The numbers say how soon each method came near the dense network.",
        x_title="epochs",
        y_title=f"{metric}, %",
        series=tuple(
            Series(arm.label, [*curve], [*curve.values()], has_markers=len(curve) <= 40, slot=slot)
            for slot, arm, curve in curves
        ),
        levels=dense,
        suffix=" %",
        table=_table([(arm, curve) for _, arm, curve in curves], dense[0][0] if dense else None),
    )


def _mean_curve(level: Level) -> Curve:
    """Means at the epochs that all runs of a level have."""
    curves = [dict(outcome.curve) for outcome in level.good if outcome.curve]
    common = [epoch for epoch in (curves[0] if curves else {}) if all(epoch in curve for curve in curves)]
    return {epoch: fmean(curve[epoch] for curve in curves) for epoch in common}


def _table(curves: Sequence[tuple[Arm, Curve]], dense: float | None) -> Table:
    """The first epoch from which the mean stays within so many points of the dense network."""
    header = ("method", *(f"within {gap:g} points" for gap in _GAPS), "at the end")
    rows = []
    for arm, curve in curves:
        reached = [_from_then_on(curve, None if dense is None else dense - gap) for gap in _GAPS]
        rows.append((arm.label, *reached, percent([*curve.values()][-1])))
    note = f"The epoch from which the mean stays within that distance of the dense network; {DASH}: never."
    return Table(header, tuple(rows), note)


def _from_then_on(curve: Curve, least: float | None) -> str:
    found = None
    for epoch, mean in curve.items():
        if least is None or mean < least:
            found = None
        elif found is None:
            found = epoch
    return DASH if found is None else f"epoch {found:g}"
