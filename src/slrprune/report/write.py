"""`write_report`: from the folders of runs to one HTML file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import slrprune
from slrprune.atomic import write_atomically
from slrprune.report.chart import Absent, Chart
from slrprune.report.comparison import SideBySide, side_by_side
from slrprune.report.next_steps import next_steps
from slrprune.report.notes import Note, outcome_notes
from slrprune.report.page import render
from slrprune.report.panel import Panel, images_within_budget, panel
from slrprune.report.run_folder import RunFolder
from slrprune.report.sources import Sources, read_sources

FILE_NAME = "report.html"
_BUCKETS = 280
_MOST_PANELS = 12


def write_report(runs: Sequence[Path], out: Path | None = None) -> Path:
    """Writes one self-contained HTML file about one run, or about several side by side.

    Args:
        runs: folders of runs (docs/run_directory.md), folders of records that `slrprune compare` wrote, or single
            records. A run that has not come to its end is shown as far as it got.
        out: the file. By default it is `report.html` in the only folder given, and in the present folder for several.

    Returns:
        The file written. The same input gives the same bytes.

    Raises:
        ArgumentError: no run was named.
        DataError: a path is neither a run nor a folder of records, or a file in it is damaged.
        StateError: a file has a version that this program does not know.
        MissingExtraError: the extra `report` is not installed.
    """
    sources = read_sources(runs)
    path = out if out is not None else _default(runs)
    text = _page(sources)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda partial: partial.write_bytes(text.encode("utf-8", "replace")))
    return path


def _default(runs: Sequence[Path]) -> Path:
    only = Path(runs[0])
    return only / FILE_NAME if len(runs) == 1 and only.is_dir() else Path(FILE_NAME)


def _page(sources: Sources) -> str:
    panels = _panels(sources.runs)
    is_several = len(sources.outcomes) > 1 or not sources.runs
    beside = side_by_side(sources.outcomes) if is_several else ()
    content = {
        "title": _title(sources, panels),
        "panels": panels,
        "is_several": is_several,
        "contests": beside,
        "notes": _notes(sources, is_several),
        "steps": next_steps(sources),
        "counts": (len(sources.runs), sources.records),
        "version": slrprune.__version__,
    }
    return render(content, _payload(panels, beside))


def _panels(runs: Sequence[RunFolder]) -> tuple[Panel, ...]:
    shown = runs[:_MOST_PANELS]
    images, side = images_within_budget(shown)
    buckets = max(60, _BUCKETS // max(1, len(shown)))
    names = [run.name for run in shown]
    labels = [name if names.count(name) == 1 else str(run.path) for name, run in zip(names, shown, strict=True)]
    every = zip(shown, labels, images, strict=True)
    return tuple(panel(run, label, f"run-{i}", buckets, found, side) for i, (run, label, found) in enumerate(every))


def _notes(sources: Sources, is_several: bool) -> list[Note]:
    notes = outcome_notes(sources.outcomes) if is_several else []
    if len(sources.runs) > _MOST_PANELS:
        left = len(sources.runs) - _MOST_PANELS
        notes.append(
            Note(f"{left} of {len(sources.runs)} runs are in the comparison only; a page has room for {_MOST_PANELS}.")
        )
    return notes


def _title(sources: Sources, panels: Sequence[Panel]) -> str:
    if len(sources.outcomes) == 1 and panels:
        only = sources.outcomes[0]
        return f"{only.method} on {only.task}" if sources.runs[0].summary else panels[0].name
    tasks = [*dict.fromkeys(outcome.task for outcome in sources.outcomes)]
    count = len(sources.outcomes)
    return f"{count} run{'' if count == 1 else 's'} on {', '.join(tasks[:3])}"


def _payload(panels: Sequence[Panel], beside: Sequence[SideBySide]) -> dict[str, Any]:
    """What the page's script draws from."""
    charts: list[Chart | Absent] = [chart for contest in beside for chart in contest.charts]
    charts += [chart for shown in panels for chart in shown.charts]
    drawn = {chart.key: chart.payload() for chart in charts if isinstance(chart, Chart)}
    return {"charts": drawn, "runs": [shown.payload() for shown in panels]}
