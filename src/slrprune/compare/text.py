"""A block in words and figures, the same for the terminal and for documents."""

from slrprune.compare.statistics import Summary
from slrprune.compare.table import Block, Row

HEADER = ("method", "test accuracy after the cut", "drop", "sparsity", "compression", "against the best rival")
"""What the entries of `cells` are. Accuracies and drops in percent and points, mean ± sample standard deviation."""

NONE = "-"


def cells(row: Row) -> tuple[str, ...]:
    """One row, in the order of `HEADER`; what makes its figures doubtful stands beside them."""
    diverged = f" ({row.diverged} of {row.runs} diverged)" if row.diverged else ""
    short = " (too little)" if row.falls_short else ""
    return (
        row.method + diverged,
        percent(row.accuracy),
        percent(row.drop),
        NONE if row.sparsity is None else f"{100 * row.sparsity:.2f}%{short}",
        NONE if row.compression is None else f"{row.compression:.1f}x",
        lead(row),
    )


def percent(summary: Summary | None) -> str:
    """Mean, and standard deviation where there is one, with two decimals.

    Examples:
        >>> percent(Summary(97.5, 0.25, 3)), percent(None)
        ('97.50 ± 0.25', '-')
    """
    if summary is None:
        return NONE
    return f"{summary.mean:.2f}" if summary.std is None else f"{summary.mean:.2f} ± {summary.std:.2f}"


def lead(row: Row) -> str:
    """The paired difference to the best rival, its 95% interval where there is one, and the rival."""
    if row.lead is None or row.rival is None:
        return NONE
    interval = "" if row.lead.low is None else f" [{row.lead.low:+.2f}, {row.lead.high:+.2f}]"
    return f"{row.lead.mean:+.2f}{interval} {row.rival}"


def title(block: Block) -> str:
    """What was asked, and of which dense net."""
    epochs = "1 epoch" if block.epochs == 1 else f"{block.epochs} epochs"
    folds = [f"{block.folds} folds"] if block.folds else []
    seeds = "1 seed" if block.seeds == 1 else f"{block.seeds} seeds"
    parts = [block.task, block.model, block.target, epochs, *folds, seeds, f"dense {percent(block.dense)}"]
    return ", ".join(parts)


def verdict(block: Block, method: str) -> str:
    """One sentence on how `method` did, by the paired difference and nothing else; empty if it is not there."""
    row = next((row for row in block.rows if row.method == method), None)
    if row is None or row.lead is None:
        return ""
    distance = f"{abs(row.lead.mean):.2f} points {'ahead of' if row.lead.mean > 0 else 'behind'}"
    where = "level with" if row.lead.mean == 0 else distance
    sentence = f"{method} is {where} {row.rival}, the best of the others"
    if row.lead.low is None or row.lead.high is None:
        return f"{sentence}; one seed says nothing about chance."
    if row.lead.low <= 0 <= row.lead.high:
        return f"{sentence}; the 95% interval contains 0, so chance alone could explain it."
    return f"{sentence}; the 95% interval does not contain 0."
