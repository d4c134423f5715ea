"""Trains a dense network on 45,000 images of CIFAR-10, with 5,000 held out: clean ground on which settings are chosen.

    python benchmarks/train_dense.py --data .cache/cifar10 --out .cache/dense/resnet20_seed0 --seed 0 --epochs 30

Writes OUT.jsonl (one line an epoch), OUT.ckpt (to resume from: run the same command again), and at the end
OUT.safetensors (the weights) and OUT.json (the record). The test split is not touched.
"""

import argparse
import json
import shlex
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from slrprune.atomic import write_atomically
from slrprune.machine import describe_machine
from slrprune.tasks.base import Task
from slrprune.tasks.cifar10 import Cifar10
from slrprune.tasks.recipe import Recipe

HOLDOUT = 5000


class Run:
    """A dense training run that can be stopped and resumed after any epoch.

    Args:
        task: with a "val" split.
        recipe: how to train.
        seed: of the weights and of the batches' order.
        out: path without suffix of everything that is written.
        settings: what a run that is resumed must have in common with this one, beside model, seed and recipe.
        score: name of the task's metric in lines and record.
        every: epochs between two looks at the "val" split; the last epoch is always looked at.
        compiled: compile the training step.
    """

    def __init__(
        self,
        task: Task,
        recipe: Recipe,
        seed: int,
        out: Path,
        *,
        settings: Mapping[str, Any],
        score: str = "val_accuracy",
        every: int = 1,
        compiled: bool = False,
    ) -> None:
        torch.manual_seed(seed)
        self.task, self.recipe, self.seed, self.out = task, recipe, seed, out
        self.score, self.every = score, every
        self.model = task.build_model()
        self.forward: nn.Module = torch.compile(self.model) if compiled else self.model  # type: ignore[assignment]
        self.optimizer = recipe.optimizer(self.model)
        self.scheduler = recipe.scheduler(self.optimizer, recipe.epochs * task.steps_per_epoch)
        self.settings = {"model": task.model_name, "seed": seed, "recipe": repr(recipe), **settings}
        self.history: list[dict[str, Any]] = []

    def resume(self) -> None:
        """Takes up the last finished epoch, if there is one."""
        file = self._file(".ckpt")
        if not file.exists():
            return
        state = torch.load(file, weights_only=True)
        if state["settings"] != self.settings:
            sys.exit(f"{file} belongs to other settings: {state['settings']}. Choose another --out.")
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.history = state["history"]

    def train(self) -> None:
        """Trains the epochs that are left."""
        for epoch in range(len(self.history), self.recipe.epochs):
            start = time.perf_counter()
            line: dict[str, Any] = {"epoch": epoch + 1, "loss": self._train_epoch(epoch)}
            line["train_seconds"] = round(time.perf_counter() - start, 1)
            if (epoch + 1) % self.every == 0 or epoch + 1 == self.recipe.epochs:
                line[self.score] = self.task.evaluate(self.model, "val")
            self.history.append(line)
            self._save()

    def finish(self, record: Path | None = None, **more: Any) -> None:
        """Writes the weights and the record.

        Args:
            record: file of the record; None puts it beside the weights.
            more: entries of the record beside those that every run has.
        """
        entries = {
            "task": self.task.name,
            **self.settings,
            "epochs": self.recipe.epochs,
            self.score: self.history[-1][self.score],
            "curve": [[line["epoch"], line[self.score]] for line in self.history if self.score in line],
            **more,
            "train_seconds": round(sum(line["train_seconds"] for line in self.history), 1),
            "command": shlex.join(["python", *sys.argv]),
            "machine": describe_machine(self.task.device),
        }
        weights = {name: tensor.contiguous() for name, tensor in self.model.state_dict().items()}
        write_atomically(self._file(".safetensors"), lambda file: save_file(weights, file))
        text = json.dumps(entries, indent=1) + "\n"
        write_atomically(record or self._file(".json"), lambda file: file.write_text(text))

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
        write_atomically(self._file(".ckpt"), lambda file: torch.save(state, file))
        lines = "".join(json.dumps(line) + "\n" for line in self.history)
        write_atomically(self._file(".jsonl"), lambda file: file.write_text(lines))

    def _file(self, suffix: str) -> Path:
        return self.out.with_name(self.out.name + suffix)


def cifar_run(task: Cifar10, recipe: Recipe, seed: int, out: Path, *, compiled: bool = False) -> Run:
    """A dense network on the training images that are not held out."""
    return Run(task, recipe, seed, out, settings={"batch": task.batch_size}, compiled=compiled)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path(".cache/cifar10"), help="folder of CIFAR-10")
    parser.add_argument("--out", type=Path, required=True, help="path without suffix of everything that is written")
    parser.add_argument("--depth", type=int, default=20, help="of a thin ResNet")
    parser.add_argument("--model", help="another network, for example mobilenetv2")
    parser.add_argument("--epochs", type=int, default=Cifar10.dense_recipe.epochs)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--bf16", action="store_true", help="bfloat16 autocast: for CPUs and GPUs that have it")
    parser.add_argument("--compile", action="store_true", help="compile the training step")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    task = Cifar10(args.data, depth=args.depth, model=args.model, holdout=HOLDOUT, device=args.device, bf16=args.bf16)
    run = cifar_run(task, replace(task.dense_recipe, epochs=args.epochs), args.seed, args.out, compiled=args.compile)
    run.resume()
    run.train()
    run.finish(holdout=HOLDOUT, bf16=args.bf16)


if __name__ == "__main__":
    main()
