"""Made-up run folders in the format of docs/run_directory.md, for tests and for the benchmark of the report."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

CONFIG = """\
task: digits
method: {name: SLR, interval: 1, sigma: 0.3}
rules: {default: Global(sparsity=%g)}
epochs: %d
retrain_epochs: %d
seed: %d
checkpoint: {every: 1}
"""
MACHINE = {
    "cpu": "Made-up CPU @ 2.50GHz",
    "cores": 2,
    "threads": 1,
    "device": "cpu",
    "torch": "2.13.0",
    "python": "3.11.7",
}


@dataclass(frozen=True)
class MadeUpRun:
    """What a made-up run looks like; `write` makes its folder."""

    names: tuple[str, ...] = ("stem.weight", "body.0.conv1.weight", "body.0.conv2.weight", "head.weight")
    updates: int = 240
    epochs: int = 12
    retrain_epochs: int = 0
    sparsity: float = 0.95
    seed: int = 0
    method: str = "SLR(interval=1, ramp=CubicRamp(begin=0.0, end=0.5), sigma=0.3, decay=0.0)"
    status: str = "ok"
    has_conditions: bool = True
    latency: bool = True
    penalty: float = 0.0
    task: str = "digits"

    def write(self, folder: Path) -> Path:
        """All files of a run that came to its end."""
        folder.mkdir(parents=True)
        rng = np.random.default_rng(self.seed)
        (folder / "config.yaml").write_text(CONFIG % (self.sparsity, self.epochs, self.retrain_epochs, self.seed))
        environment = {
            "command": f"slrprune prune {self.task} --set seed={self.seed}",
            "started": "2026-11-22T21:04:05+00:00",
            "commit": "98c3cb0",
            "versions": {"slrprune": "0.1.0", "torch": "2.13.0", "numpy": "2.3.4"},
            "machine": MACHINE,
        }
        _write(folder / "environment.json", environment)
        lines = self.history(rng)
        (folder / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        rows = [self.layer(position, name, rng) for position, name in enumerate(self.names)]
        _write(folder / "layers.json", {"version": 1, "layers": [*rows, _skipped("body.0.bn1.weight")]})
        _write(folder / "histograms.json", {"version": 1, "layers": {name: _histogram(rng) for name in self.names}})
        _write(folder / "summary.json", self.summary(rows, lines))
        return folder

    def history(self, rng: np.random.Generator) -> list[dict]:
        """The lines of history.jsonl."""
        per_epoch = max(1, self.updates // self.epochs)
        start = {"kind": "start", "step": 0, "time": 0.0, "dense_accuracy": 99.17, "split": "val", "metric": "accuracy"}
        total = per_epoch * (self.epochs + self.retrain_epochs)
        lines: list[dict] = [start | {"total_steps": total, "steps_per_epoch": per_epoch, "phase": "prune"}]
        for epoch in range(1, self.epochs + self.retrain_epochs + 1):
            steps = range((epoch - 1) * per_epoch + 1, epoch * per_epoch + 1)
            pruning = epoch <= self.epochs
            if pruning:
                lines += [self.update(step, rng) for step in steps]
            lines += [*self.epoch_lines(epoch, steps[-1], "prune" if pruning else "retrain", rng)]
            if epoch == self.epochs:
                lines.append(_event(steps[-1], "cut", "the hard cut: zeros written into the weights"))
        return lines

    def update(self, step: int, rng: np.random.Generator) -> dict:
        """One line of kind `update`."""
        share = min(1.0, 2 * step / self.updates)
        ramp = self.sparsity * (1 - (1 - share) ** 3)
        noise = float(rng.normal(1, 0.06))
        conditions = [float(rng.random() < chance) for chance in (0.6 + 0.4 * share, 0.92)]
        first, second = conditions if self.has_conditions else (None, None)
        return {
            "kind": "update",
            "step": step,
            "time": round(step * 0.016, 4),
            "iteration": step,
            "penalty": self.penalty or None,
            "stepsize": 0.3 * (1 - 1 / (300 + step)) ** step,
            "primal_residual": 4 * noise * (0.02 + share * np.exp(-5 * step / self.updates)),
            "dual_residual": 2.5 * float(rng.normal(1, 0.1)) * (0.01 + np.exp(-6 * step / self.updates)),
            "loss": 2.3 * noise * np.exp(-4 * step / self.updates) + 0.02,
            "first_condition": first,
            "second_condition": second,
            "sparsity": ramp,
            "mask_changes": int(9000 * noise * np.exp(-6 * step / self.updates)),
        }

    def epoch_lines(self, epoch: int, step: int, phase: str, rng: np.random.Generator) -> list[dict]:
        """The lines of kind `epoch` and `layers` at the end of an epoch."""
        share = epoch / self.epochs
        sparsity = self.sparsity * (1 - (1 - min(1.0, 2 * share)) ** 3)
        line = {
            "kind": "epoch",
            "step": step,
            "time": step * 0.016,
            "epoch": epoch,
            "phase": phase,
            "loss": 2.2 * float(np.exp(-4 * share)) + 0.02,
            "lr": 0.05 * (1 + float(np.cos(np.pi * min(1.0, share)))) / 2,
            "accuracy_after_cut": round(98.8 - 60 * float(np.exp(-6 * share)) + float(rng.normal(0, 0.2)), 3),
            "split": "val",
            "sparsity": sparsity,
            "seconds": 0.31,
        }
        residual = 3 * float(np.exp(-5 * share))
        rows = [
            {
                "name": name,
                "sparsity": min(0.999, sparsity * (0.9 + 0.02 * (i % 6))),
                "primal_residual": residual / (1 + i),
            }
            for i, name in enumerate(self.names)
        ]
        return [line, {"kind": "layers", "step": step, "time": step * 0.016, "epoch": epoch, "layers": rows}]

    def layer(self, position: int, name: str, rng: np.random.Generator) -> dict:
        """One pruned row of layers.json."""
        out, inner = 16 << min(3, position // 4), 144
        sparsity = 1 - (1 - self.sparsity) * (1.6, 1.2, 0.8, 0.4)[position % 4]  # their mean is what was asked for
        numel, side = out * inner, min(128, out)
        nnz = round(numel * (1 - sparsity))
        tile = max(1, numel // (side * 128))
        density = rng.binomial(tile, 1 - sparsity, (side, 128)) / tile
        return {
            "name": name,
            "shape": [out, inner // 9, 3, 3],
            "numel": numel,
            "nnz": nnz,
            "sparsity": 1 - nnz / numel,
            "constraint": f"Global(sparsity={self.sparsity:g})",
            "skipped": None,
            "macs": numel * 64,
            "macs_left": nnz * 64,
            "bytes_dense": numel * 4,
            "bytes_sparse": nnz * 5 + 64,
            "seconds": 2e-5 * (1 + position % 7),
            "primal_residual": 0.2 / (1 + position),
            "mask_image": {"rows": side, "columns": 128, "density": density.round(3).ravel().tolist()},
        }

    def summary(self, rows: list[dict], lines: list[dict]) -> dict:
        """What summary.json holds."""
        diverged = self.status == "diverged"
        numel, nnz = sum(row["numel"] for row in rows), sum(row["nnz"] for row in rows)
        after = None if diverged else 99.4 - 18 * max(0.0, self.sparsity - 0.85) ** 1.5 - 0.2 * (self.seed % 3)
        return {
            "version": 1,
            "task": self.task,
            "model": "digits_cnn",
            "method": self.method,
            "rules": f"Global(sparsity={self.sparsity:g})",
            "sparsity": self.sparsity,
            "epochs": self.epochs,
            "retrain_epochs": self.retrain_epochs,
            "seed": self.seed,
            "metric": "accuracy",
            "dense_accuracy": 99.1667,
            "accuracy_after_cut": after,
            "accuracy_after_retraining": after + 0.1 if after is not None and self.retrain_epochs else None,
            "val_accuracy_after_cut": None if diverged else after + 0.2,
            "split": "test",
            "sparsity_reached": 1 - nnz / numel,
            "compression": numel / nnz,
            "model_compression": (numel + 700) / (nnz + 700),
            "bytes_dense": 4 * numel + 2800,
            "bytes_sparse": sum(row["bytes_sparse"] for row in rows) + 3200,
            "latency_dense_ms": 0.834 if self.latency else None,
            "latency_ms": round(0.834 - 0.33 * self.sparsity, 3) if self.latency else None,
            "latency_note": "Median of 200 forward passes of one example on one thread." if self.latency else None,
            "steps": lines[-1]["step"],
            "seconds": lines[-1]["step"] * 0.016,
            "status": self.status,
            "reason": "the loss is not finite at step 31" if diverged else "",
            "warnings": ["BatchNorm's statistics were taken before the cut; re-estimate them."],
            "skipped": [{"name": "body.0.bn1.weight", "reason": "fewer than two dimensions"}],
            "command": f"slrprune prune {self.task} --set seed={self.seed}",
            "started": "2026-11-22T21:04:05+00:00",
            "resumed": 0,
            "slrprune": "0.1.0",
            "machine": MACHINE,
        }


def many_layers(count: int) -> tuple[str, ...]:
    """Names of `count` layers."""
    return tuple(f"stages.{i // 10}.blocks.{i % 10}.conv.weight" for i in range(count))


def _write(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content))


def _event(step: int, event: str, text: str) -> dict:
    return {"kind": "event", "step": step, "time": step * 0.016, "event": event, "text": text}


def _skipped(name: str) -> dict:
    nothing = dict.fromkeys(("constraint", "macs", "macs_left", "seconds", "primal_residual", "mask_image"))
    sizes = {"shape": [16], "numel": 16, "nnz": 16, "sparsity": 0.0, "bytes_dense": 64, "bytes_sparse": 64}
    return {"name": name, "skipped": "fewer than two dimensions", **sizes, **nothing}


def _histogram(rng: np.random.Generator) -> dict:
    before, edges = np.histogram(rng.normal(0, 0.08, 4000), 64, (-0.4, 0.4))
    kept = rng.normal(0, 0.13, 300)
    after, _ = np.histogram(kept[np.abs(kept) > 0.06], 64, (-0.4, 0.4))
    numbers = {"edges": edges.round(5).tolist(), "before": before.tolist(), "after": after.tolist()}
    return numbers | {"zeros_after": 3700}
