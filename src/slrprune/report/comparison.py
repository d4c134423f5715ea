"""Several runs side by side: the table, and the charts for each task and model among them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from slrprune.report.arms import Arm, Contest, Level, contests
from slrprune.report.chart import Absent, Chart, Table
from slrprune.report.frontier import against_latency, against_size, against_sparsity
from slrprune.report.outcome import Outcome
from slrprune.report.progress import progress
from slrprune.report.values import DASH, duration, milliseconds, points, share, size, times


@dataclass(frozen=True)
class SideBySide:
    """One contest, ready to be shown."""

    title: str
    table: Table
    charts: tuple[Chart | Absent, ...]


def side_by_side(outcomes: Sequence[Outcome]) -> tuple[SideBySide, ...]:
    """One entry for each task, model and question among the runs."""
    found = []
    for position, contest in enumerate(contests(outcomes)):
        key = f"contest-{position}"
        title = ", ".join(filter(None, (contest.task, contest.model, contest.question)))
        accuracy, size_chart, latency = (
            draw(contest, key) for draw in (against_sparsity, against_size, against_latency)
        )
        found.append(SideBySide(title, _table(contest), (accuracy, *progress(contest, key), size_chart, latency)))
    return tuple(found)


def _table(contest: Contest) -> Table:
    figures = ("against dense", "compression", "sparse file", "latency", "training")
    rows = tuple(_row(arm, level) for arm, level in contest.levels())
    note = f"Mean ± standard deviation over seeds; one seed has no ±. {DASH}: not measured."
    return Table(("method", "sparsity", "runs", contest.metric, *figures), rows, note)


def _row(arm: Arm, level: Level) -> tuple[str, ...]:
    counts = Counter(outcome.status for outcome in level.outcomes if outcome.status != "ok")
    failed = {status: counts.pop(status, 0) for status in ("diverged", "unmeasured")} | {"unfinished": counts.total()}
    said = [f"{count} {status}" for status, count in failed.items() if count]
    drop = level.mean(lambda outcome: outcome.drop)
    return (
        arm.label,
        "dense" if arm.is_dense else share(level.at, 1),
        ", ".join([str(len(level.outcomes)), *said]),
        level.accuracy_text,
        DASH if drop is None else points(drop),
        times(level.mean(lambda outcome: outcome.compression)),
        size(level.mean(lambda outcome: outcome.bytes_sparse)),
        milliseconds(level.mean(lambda outcome: outcome.latency_ms)),
        duration(level.mean(lambda outcome: outcome.seconds)),
    )
