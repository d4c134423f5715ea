"""A block in words and figures, the same for the terminal and for documents."""

from slrprune.compare.statistics import Summary
from slrprune.compare.table import Block, Row

HEADER = ("method", "test accuracy after the cut", "drop", "sparsity", "compression", "against the best rival")
"""What the entries of `cells` are. Accuracies and drops in percent and points, mean ± sample standard deviation."""

NONE = "-"


def cells(row: Row) -> tuple[str, ...]:
    """One row, in the order of `HEADER`."""
    mark = "".join(["*"[: row.diverged], "!" if row.falls_short else ""])
    accuracy = "diverged" if row.accuracy is None else percent(row.accuracy)
    return (
        f"{row.method} {mark}".strip(),
        accuracy,
        percent(row.drop),
        NONE if row.sparsity is None else f"{100 * row.sparsity:.2f}%",
        NONE if row.compression is None else f"{row.compression:.1f}x",
        lead(row),
    )


def notes(block: Block) -> list[str]:
    """What has to be said below the table."""
    found = []
    for row in block.rows:
        if row.diverged:
            found.append(f"* {row.method}: {row.diverged} of {row.runs} runs diverged and are left out of its figures.")
        if row.falls_short:
            found.append(f"! {row.method} stays below the sparsity asked for; its accuracy is no fair figure.")
    return found


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
    seeds = "1 seed" if block.dense.count == 1 else f"{block.dense.count} seeds"
    return f"{block.task}, {block.model}, {block.target}, {epochs}, {seeds}, dense {percent(block.dense)}"


def verdict(block: Block, method: str) -> str:
    """One sentence on how `method` did, by the paired difference and nothing else; empty if it is not there."""
    row = next((row for row in block.rows if row.method == method), None)
    if row is None or row.lead is None:
        return ""
    where = "ahead of" if row.lead.mean > 0 else "behind" if row.lead.mean < 0 else "level with"
    sentence = f"{method} is {abs(row.lead.mean):.2f} points {where} {row.rival}, the best of the others"
    if row.lead.low is None or row.lead.high is None:
        return f"{sentence}; one seed says nothing about chance."
    if row.lead.low <= 0 <= row.lead.high:
        return f"{sentence}; the 95% interval contains 0, so chance alone could explain it."
    return f"{sentence}; the 95% interval does not contain 0."
