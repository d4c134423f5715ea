"""`retraining.json`: what the training after the cut changed."""

from collections.abc import Iterable, Mapping
from typing import Any

VERSION = 1


def retraining_record(facts: Mapping[str, Any], history: Iterable[Mapping[str, Any]], split: str) -> dict[str, Any]:
    """Where the retraining began, how it went, and where it ended.

    Args:
        facts: of the run, as `Session` collects them.
        history: lines of `history.jsonl`.
        split: of the final figures.
    """
    lines = [line for line in history if line["kind"] == "epoch"]
    ours = [line for line in lines if line["phase"] == "retrain"]
    steps = [line["step"] for line in lines]
    return {
        "version": VERSION,
        "epochs": len(ours),
        "steps": steps[-1] - steps[-1 - len(ours)],
        "seconds": facts["retraining_seconds"],
        "split": split,
        "before": _figures(facts, "after_cut"),
        "after": _figures(facts, "after_retraining"),
        "curve_split": ours[-1]["split"],
        "curve": [
            {
                "epoch": number,
                "loss": line["loss"],
                "lr": line["lr"],
                "accuracy": line["accuracy_after_cut"],
                "seconds": line["seconds"],
            }
            for number, line in enumerate(ours, 1)
        ],
    }


def _figures(facts: Mapping[str, Any], when: str) -> dict[str, Any]:
    """The metric on the split of the final figures and on "val", and the task's details."""
    return {
        "accuracy": facts[f"accuracy_{when}"],
        "val_accuracy": facts[f"val_accuracy_{when}"],
        "details": facts["details"].get(when, {}),  # without them in a run that an earlier version began
    }
