"""A block in words and figures, the same for the terminal and for documents."""

from collections.abc import Iterable

from slrprune.compare.block import Block, Row
from slrprune.compare.statistics import PairedDifference, Summary
from slrprune.report.values import duration

NONE = "-"


def header(block: Block) -> tuple[str, ...]:
    """What the entries of `cells` are. Accuracies and drops in percent and points, mean ± sample standard deviation.

    The seeds of each arm are told where arms differ in them.
    """
    return (
        "method",
        *(["runs" if block.folds else "seeds"] if block.is_uneven else []),
        f"test {metric(block)} after the cut",
        "drop",
        "sparsity",
        "compression",
        "training time",
        "against the best rival" if block.against is None else f"against {block.against}",
    )


def cells(block: Block, row: Row) -> tuple[str, ...]:
    """One row of a block, in the order of `header`; what makes its figures doubtful stands beside them."""
    short = " (too little)" if row.falls_short else ""
    return (
        row.method + _failed(row),
        *([str(row.runs if block.folds else len(row.seeds))] if block.is_uneven else []),
        percent(row.accuracy),
        percent(row.drop),
        NONE if row.sparsity is None else f"{100 * row.sparsity:.2f}%{short}",
        NONE if row.compression is None else f"{row.compression:.1f}x",
        NONE if row.seconds is None else duration(row.seconds),
        lead(row, names_rival=block.against is None),
    )


def metric(block: Block) -> str:
    """What is measured, in words."""
    return block.metric.replace("_", " ")


def _failed(row: Row) -> str:
    counts = {"diverged": row.diverged, "unmeasured": row.unmeasured}
    said = [f"{count} of {row.runs} {what}" for what, count in counts.items() if count]
    return f" ({', '.join(said)})" if said else ""


def percent(summary: Summary | None) -> str:
    """Mean, and standard deviation where there is one, with two decimals.

    Examples:
        >>> percent(Summary(97.5, 0.25, 3)), percent(None)
        ('97.50 ± 0.25', '-')
    """
    if summary is None:
        return NONE
    return f"{summary.mean:.2f}" if summary.std is None else f"{summary.mean:.2f} ± {summary.std:.2f}"


def lead(row: Row, *, names_rival: bool) -> str:
    """The paired difference to the rival, its 95% interval where there is one, and who that is unless all know."""
    if row.lead is None or row.rival is None:
        return NONE
    return difference(row.lead) + (f" {row.rival}" if names_rival else "")


def difference(paired: PairedDifference) -> str:
    """Its mean, and its 95% interval where there is one."""
    interval = "" if paired.low is None else f" [{paired.low:+.2f}, {paired.high:+.2f}]"
    return f"{paired.mean:+.2f}{interval}"


def title(block: Block) -> str:
    """What was asked, and of which dense net."""
    epochs = "1 epoch" if block.epochs == 1 else f"{block.epochs} epochs"
    folds = [f"{block.folds} folds"] if block.folds else []
    seeds = "1 seed" if block.seeds == 1 else f"{block.seeds} seeds"
    without = [f"without {' and '.join(block.without)}"] if block.without else []
    parts = [block.task, block.model, block.target, epochs, *folds, seeds, *without, f"dense {percent(block.dense)}"]
    return ", ".join(parts)


def all_notes(blocks: Iterable[Block]) -> tuple[str, ...]:
    """What the blocks have to note, each sentence once."""
    return tuple(dict.fromkeys(note for block in blocks for note in block.notes))


def verdict(block: Block, method: str) -> str:
    """One sentence on how `method` did, by the paired difference and nothing else; empty without one."""
    row = next((row for row in block.rows if row.method == method), None)
    if row is None or row.lead is None:
        return ""
    distance = f"{abs(row.lead.mean):.2f} points {'ahead of' if row.lead.mean > 0 else 'behind'}"
    where = "level with" if row.lead.mean == 0 else distance
    sentence = f"{method} is {where} {row.rival}" + ("" if block.against else ", the best of the others")
    if row.lead.low is None or row.lead.high is None:
        return f"{sentence}; one seed says nothing about chance."
    if row.lead.low <= 0 <= row.lead.high:
        return f"{sentence}; the 95% interval contains 0, so chance alone could explain it."
    return f"{sentence}; the 95% interval does not contain 0."
