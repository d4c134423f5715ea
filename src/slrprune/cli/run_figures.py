"""What `slrprune prune` says at the end of a run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def figures(summary: Mapping[str, Any], folder: Path) -> list[str]:
    """The lines: the metric, the task's further figures, size and time, and where everything lies.

    Args:
        summary: what `summary.json` holds.
        folder: of the run.
    """
    if summary["status"] != "ok":
        return [f"Diverged: {summary['reason']}", f"The run: {folder}"]
    lines = _accuracies(summary)
    compression = summary["compression"]  # null where no weight is left
    ratio = "no weight is left" if compression is None else f"{compression:.1f}x"
    lines.append(
        f"sparsity {summary['sparsity_reached']:.2%} of the pruned weights, {ratio}; "
        f"{summary['bytes_dense']:,} -> {summary['bytes_sparse']:,} bytes"
    )
    if summary["latency_ms"] is not None:
        times = f"{summary['latency_dense_ms']:.3f} -> {summary['latency_ms']:.3f} ms"
        lines.append(f"latency {times}. {summary['latency_note']}")
    page = folder / "report.html"
    return [*lines, f"The run: {folder}" + (f", its report: {page}" if page.exists() else "")]


def _accuracies(summary: Mapping[str, Any]) -> list[str]:
    """The metric, then every further figure, each at all stages."""
    stages = {"dense_accuracy": "dense", "accuracy_after_cut": "after the cut"}
    if summary["retrain_epochs"]:
        stages["accuracy_after_retraining"] = f"after {summary['retrain_epochs']} epochs of retraining"
    reached = [f"{_shown(summary[field], '%')} {said}" for field, said in stages.items()]
    lines = [f"{summary['metric']} on the {summary['split']} split: {', '.join(reached)}"]
    details = [summary["details"].get(stage, {}) for stage in ("dense", "after_cut", "after_retraining")]
    for name in details[1]:
        values = [f"{_shown(found.get(name))} {said}" for found, said in zip(details, stages.values(), strict=False)]
        lines.append(f"{name}: {', '.join(values)}")
    return lines


def _shown(value: float | None, unit: str = "") -> str:
    return "not measured" if value is None else f"{value:.2f}{unit}"
