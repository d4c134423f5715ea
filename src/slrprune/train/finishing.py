"""The final files of a run."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from slrprune.errors import SlrpruneError
from slrprune.records import SparsityReport
from slrprune.train.dense import fresh_model, load_dense
from slrprune.train.phases import PrunePhase
from slrprune.train.plan import Plan
from slrprune.train.rundir.folder import RunFolder, finite, write_model
from slrprune.train.rundir.histograms import histograms
from slrprune.train.rundir.history import read_history
from slrprune.train.rundir.layers import layer_rows
from slrprune.train.rundir.retraining_record import retraining_record
from slrprune.train.rundir.timing import layer_seconds

VERSION = 1


def write_final_files(plan: Plan, folder: RunFolder, prune: PrunePhase, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Writes the model, its sparse file, layers and histograms; returns what the summary says about them."""
    from slrprune.deploy import save_sparse

    model = fresh_model(plan.task, plan.config.seed).eval()  # without what mixed precision has wrapped around forward
    model.load_state_dict(prune.model.state_dict())
    report = prune.pruner.report()
    example = plan.task.example_input()
    write_model(model, folder / "model.safetensors")
    sparse = save_sparse(model, folder / "model.slrprune")
    seconds = layer_seconds(model, example) if plan.config.latency else {}
    rows = layer_rows(model, report, example, seconds=seconds, residuals=facts.get("residuals", {}))
    folder.write_json("layers.json", {"version": VERSION, "layers": rows})
    dense, _ = load_dense(plan.task, plan.config.seed, folder.dense)
    folder.write_json("histograms.json", histograms(prune.weights(dense), prune.weights(model)))
    if plan.config.retrain:
        record = retraining_record(facts, read_history(folder / "history.jsonl"), plan.final_split)
        folder.write_json("retraining.json", record)
    sizes = {"bytes_dense": (folder / "model.safetensors").stat().st_size, "bytes_sparse": sparse}
    return _counts(report) | sizes | _latency(plan, model)


def write_summary(plan: Plan, folder: RunFolder, facts: Mapping[str, Any], ending: Mapping[str, Any]) -> dict[str, Any]:
    """Writes `summary.json`, the last file; what `ending` does not tell is null."""
    environment = json.loads((folder / "environment.json").read_text())
    last = (environment["resumes"] or [environment])[-1]
    config = plan.config
    summary: dict[str, Any] = {
        "version": VERSION,
        "task": plan.task.name,
        "model": plan.task.model_name,
        "method": repr(plan.method),
        "rules": None,
        "sparsity": config.sparsity,
        "epochs": config.epochs,
        "retrain_epochs": config.retrain,
        "seed": config.seed,
        "metric": plan.task.metric,
        "split": plan.final_split,
        **dict.fromkeys(_MEASURED),
        **{name: facts[name] for name in _MEASURED if name in facts},
        "status": "ok",
        "reason": None,
        "warnings": [],
        "skipped": [],
        "command": environment["command"],
        "started": environment["started"],
        "resumed": len(environment["resumes"]),
        "slrprune": last["versions"].get("slrprune"),
        "machine": last["machine"],
        **ending,
    }
    summary["warnings"] = [*summary["warnings"], *plan.task.warnings()]
    summary = dict(finite(summary))
    folder.write_json("summary.json", summary)
    return summary


_MEASURED = (
    *("dense_accuracy", "dense_val_accuracy", "accuracy_after_cut", "accuracy_after_retraining"),
    *(
        "val_accuracy_after_cut",
        "val_accuracy_after_retraining",
        "details",
        "sparsity_reached",
        "compression",
        "model_compression",
    ),
    *("bytes_dense", "bytes_sparse"),
    *("latency_dense_ms", "latency_ms", "latency_note", "steps", "seconds"),
)


def _counts(report: SparsityReport) -> dict[str, Any]:
    return {
        "sparsity_reached": report.sparsity,
        "compression": report.compression_ratio,
        "model_compression": report.model_compression_ratio,
        "warnings": list(report.warnings),
        "skipped": [{"name": skipped.name, "reason": skipped.reason} for skipped in report.skipped],
    }


def _latency(plan: Plan, model: nn.Module) -> dict[str, Any]:
    """Times of a forward pass over one example, by the fastest dense variant and by `deploy.accelerate`."""
    import torch

    from slrprune.deploy import accelerate

    if not plan.config.latency:
        return {"latency_note": "Not measured: latency is off in the configuration."}
    try:
        _, report = accelerate(model, plan.task.example_input())
    except (SlrpruneError, RuntimeError) as error:
        return {"latency_note": f"Not measured: {' '.join(str(error).split())}"}
    threads = "1 thread" if torch.get_num_threads() == 1 else f"{torch.get_num_threads()} threads"
    note = (
        f"One example, {threads}, median of interleaved rounds on this machine: the fastest dense variant of torch, "
        f"and what slrprune.deploy.accelerate returned ({report.chosen})."
    )
    return {
        "latency_dense_ms": report.dense_time / 1e3,
        "latency_ms": report.time / 1e3,
        "latency_note": note,
    }


def write_page(folder: Path) -> str | None:
    """The report in the browser, where the extra `report` is installed; else why there is none."""
    try:
        from slrprune.report import write_report
    except ImportError as error:
        return f"no report.html: {error}"
    try:
        write_report([folder], folder / "report.html")
    except SlrpruneError as error:
        return f"no report.html: {error}"
    return None
