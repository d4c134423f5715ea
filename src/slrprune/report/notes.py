"""What a reader must know before believing the figures: warnings, what ended early, what is missing."""

from collections.abc import Sequence
from dataclasses import dataclass

from slrprune.report.headline import headline
from slrprune.report.outcome import Outcome
from slrprune.report.run_folder import RunFolder
from slrprune.report.values import number, short, text, whole


@dataclass(frozen=True)
class Note:
    """One note.

    Attributes:
        text: one or two sentences.
        is_serious: whether it changes how the figures are to be read.
    """

    text: str
    is_serious: bool = False


def banner(run: RunFolder) -> str:
    """How a run ended, where it did not end well; empty for one that did."""
    planned = whole(run.history.start.get("total_steps"))
    where = f"step {run.history.last_step:,}" + (f" of {planned:,}" if planned is not None else "")
    reason = text(run.headline.get("reason"))
    said = {
        "ok": "",
        "diverged": f"Diverged{f': {reason}' if reason else ''}. There is no pruned model to judge.",
        "interrupted": f"Interrupted at {where}. What follows is what had happened until then.",
        "unfinished": f"Not finished: there is no summary.json yet, and the last line is at {where}. "
        "The run is still going on, or it was killed.",
    }
    return said.get(run.status, f"Ended with the status {run.status!r}{f': {reason}' if reason else ''}.")


def run_notes(run: RunFolder) -> list[Note]:
    """Of one run, the serious ones first."""
    notes = [Note(banner(run), True)] if banner(run) else []
    warnings = run.headline.get("warnings")
    notes += [Note(text(warning), True) for warning in (warnings if isinstance(warnings, list) else ())]
    told = {note.text for note in notes}
    for line in run.history.events:
        said = text(line.get("text"))
        if text(line.get("event")) in ("fallback", "warning") and said and said not in told:
            notes.append(Note(f"Step {short(number(line.get('step')))}: {said}", True))
    notes += _short_of_target(run)
    resumed = whole(run.headline.get("resumed")) or 0
    if resumed:
        notes.append(
            Note(f"The run was interrupted and taken up again {_often(resumed)}; its lines read as if it had not been.")
        )
    if run.skipped:
        notes.append(Note(f"{_count(len(run.skipped), 'weight')} left dense; the reasons are in the table of layers."))
    if run.history.is_cut:
        notes.append(Note("The last line of history.jsonl was cut off, and left out."))
    notes += [Note(f"{figure.title}: not measured. {figure.how}") for figure in headline(run) if not figure.is_measured]
    if run.missing:
        notes.append(
            Note(f"Files that are not there, so that their part of the page is empty: {', '.join(run.missing)}.")
        )
    return notes


def outcome_notes(outcomes: Sequence[Outcome]) -> list[Note]:
    """Of several runs together."""
    notes = []
    for outcome in outcomes:
        if outcome.status == "diverged":
            why = f" ({outcome.reason})" if outcome.reason else ""
            notes.append(Note(f"{_named(outcome)} diverged{why}; it has no point in the charts.", True))
        elif outcome.status != "ok":
            why = f" ({outcome.reason})" if outcome.reason else ""
            notes.append(Note(f"{_named(outcome)} is {outcome.status}{why}; it has no point in the charts.", True))
    short_ones = [outcome for outcome in outcomes if _falls_short(outcome)]
    if short_ones:
        said = "; ".join(_named(outcome) for outcome in short_ones)
        notes.append(Note(f"Below the sparsity asked for, so that their accuracy is no fair figure: {said}.", True))
    untimed = sum(outcome.latency_ms is None for outcome in outcomes if outcome.status == "ok")
    if untimed:
        which = "no run" if untimed == len(outcomes) else f"{_count(len(outcomes) - untimed, 'run')} only"
        notes.append(Note(f"The latency was measured in {which}."))
    return notes


def _falls_short(outcome: Outcome) -> bool:
    """By more than one part in a thousand: counts are whole numbers, and floors keep a few weights."""
    return outcome.sparsity is not None and outcome.reached is not None and outcome.reached < outcome.sparsity - 1e-3


def _short_of_target(run: RunFolder) -> list[Note]:
    asked, reached = (number(run.headline.get(name)) for name in ("sparsity", "sparsity_reached"))
    if asked is None or reached is None or reached >= asked - 1e-3:
        return []
    return [Note(f"The sparsity asked for was {asked:.4g}, and {reached:.4g} was reached: no fair comparison.", True)]


def _named(outcome: Outcome) -> str:
    seed = "" if outcome.seed is None else f", seed {outcome.seed}"
    level = "" if outcome.sparsity is None else f" at {100 * outcome.sparsity:.4g} %"
    return f"{outcome.method}{level}{seed}"


def _often(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
