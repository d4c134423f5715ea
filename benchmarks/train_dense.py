"""Trains a dense CIFAR ResNet on 45,000 images, with 5,000 held out: the clean ground on which settings are chosen.

    python benchmarks/train_dense.py --data .cache/cifar10 --out .cache/dense/resnet20_seed0 --seed 0 --epochs 30

Writes OUT.jsonl (one line an epoch), OUT.ckpt (to resume from: run the same command again), and at the end
OUT.safetensors (the weights) and OUT.json (the record). The test split is not touched.
"""

import argparse
import json
import os
import platform
import shlex
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from slrprune.tasks.cifar10 import Cifar10
from slrprune.tasks.recipe import Recipe

HOLDOUT = 5000


class Run:
    """A dense training run that can be stopped and resumed after any epoch."""

    def __init__(self, task: Cifar10, recipe: Recipe, seed: int, out: Path, *, compiled: bool = False) -> None:
        torch.manual_seed(seed)
        self.task, self.recipe, self.seed, self.out = task, recipe, seed, out
        self.model = task.build_model()
        self.forward: nn.Module = torch.compile(self.model) if compiled else self.model  # type: ignore[assignment]
        self.optimizer = recipe.optimizer(self.model)
        self.scheduler = recipe.scheduler(self.optimizer, recipe.epochs * task.steps_per_epoch)
        self.settings = {"model": task.model_name, "seed": seed, "recipe": repr(recipe), "batch": task.batch_size}
        self.history: list[dict[str, Any]] = []

    def resume(self) -> None:
        """Takes up the last finished epoch, if there is one."""
        if not self._file(".ckpt").exists():
            return
        state = torch.load(self._file(".ckpt"), weights_only=True)
        if state["settings"] != self.settings:
            sys.exit(f"{self._file('.ckpt')} belongs to other settings: {state['settings']}. Choose another --out.")
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.history = state["history"]

    def train(self) -> None:
        """Trains the epochs that are left."""
        for epoch in range(len(self.history), self.recipe.epochs):
            start = time.perf_counter()
            loss = self._train_epoch(epoch)
            seconds = time.perf_counter() - start
            accuracy = self.task.evaluate(self.model, "val")
            line = {"epoch": epoch + 1, "loss": loss, "val_accuracy": accuracy, "train_seconds": round(seconds, 1)}
            self.history.append(line)
            self._save()

    def finish(self) -> None:
        """Writes the weights and the record."""
        record = {
            "task": self.task.name,
            "model": self.task.model_name,
            "seed": self.seed,
            "epochs": self.recipe.epochs,
            "val_accuracy": self.history[-1]["val_accuracy"],
            "holdout": HOLDOUT,
            "recipe": repr(self.recipe),
            "batch_size": self.task.batch_size,
            "bf16": self.task.bf16,
            "train_seconds": round(sum(line["train_seconds"] for line in self.history), 1),
            "command": shlex.join(["python", *sys.argv]),
            "machine": machine(),
        }
        weights = {name: tensor.contiguous() for name, tensor in self.model.state_dict().items()}
        replace_file(self._file(".safetensors"), lambda file: save_file(weights, file))
        replace_file(self._file(".json"), lambda file: file.write_text(json.dumps(record, indent=1) + "\n"))

    def _train_epoch(self, epoch: int) -> float:
        self.model.train()
        total = torch.zeros((), device=self.task.device)
        for batch in self.task.batches("train", epoch, self.seed):
            loss = self.task.loss(self.forward, batch)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.scheduler.step()
            total += loss.detach()
        return round(total.item() / self.task.steps_per_epoch, 4)

    def _save(self) -> None:
        state = {
            "settings": self.settings,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "history": self.history,
        }
        replace_file(self._file(".ckpt"), lambda file: torch.save(state, file))
        lines = "".join(json.dumps(line) + "\n" for line in self.history)
        replace_file(self._file(".jsonl"), lambda file: file.write_text(lines))

    def _file(self, suffix: str) -> Path:
        return self.out.with_name(self.out.name + suffix)


def replace_file(file: Path, write: Callable[[Path], object]) -> None:
    """Writes a file so that a killed process leaves the old one or the new one, nothing between."""
    partial = file.with_name(file.name + ".partial")
    write(partial)
    partial.replace(file)


def machine() -> dict[str, Any]:
    """What the run was made on."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        cpu = names[0] if names else cpu
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path(".cache/cifar10"), help="folder of CIFAR-10")
    parser.add_argument("--out", type=Path, required=True, help="path without suffix of everything that is written")
    parser.add_argument("--depth", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=Cifar10.dense_recipe.epochs)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--bf16", action="store_true", help="bfloat16 autocast: for GPUs and CPUs with AMX")
    parser.add_argument("--compile", action="store_true", help="compile the training step")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    task = Cifar10(args.data, depth=args.depth, holdout=HOLDOUT, device=args.device, bf16=args.bf16)
    run = Run(task, replace(task.dense_recipe, epochs=args.epochs), args.seed, args.out, compiled=args.compile)
    run.resume()
    run.train()
    run.finish()


if __name__ == "__main__":
    main()
