"""Trains a detector on BCCD's 205 training images, from scratch or from the weights of another data set.

    python benchmarks/bccd_to_coco.py --data ../shared/data --out .cache/bccd
    python benchmarks/bccd_dense.py --data .cache/bccd --out .cache/bccd_dense/yolov3_tiny

Writes OUT.jsonl (one line an epoch; the mAP of the "val" split every few), OUT.ckpt (to resume from: run the same
command again), and at the end OUT.safetensors (the weights, for the task's option `checkpoint`) and the record, in
benchmarks/results/bccd/dense. The test split is not touched.
"""

import argparse
import json
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import torch
from bccd_tasks import bccd_task
from safetensors.torch import save_file
from train_dense import machine, replace_file

from slrprune.tasks.coco.task import Coco
from slrprune.tasks.recipe import AdamWRecipe

RESULTS = Path(__file__).parent / "results" / "bccd" / "dense"


class Run:
    """A dense training that can be stopped and resumed after any epoch."""

    def __init__(self, task: Coco, recipe: AdamWRecipe, seed: int, out: Path, every: int) -> None:
        torch.manual_seed(seed)
        self.task, self.recipe, self.seed, self.out, self.every = task, recipe, seed, out, every
        self.model = task.build_model()
        self.optimizer = recipe.optimizer(self.model)
        self.scheduler = recipe.scheduler(self.optimizer, recipe.epochs * task.steps_per_epoch)
        self.settings = {"model": task.model_name, "size": list(task.system.size), "seed": seed, "recipe": repr(recipe)}
        self.history: list[dict[str, Any]] = []

    def resume(self) -> None:
        """Takes up the last finished epoch, if there is one."""
        file = self._file(".ckpt")
        if not file.exists():
            return
        state = torch.load(file, weights_only=True)
        if state["settings"] != self.settings:
            sys.exit(f"{file} belongs to other settings: {state['settings']}. Choose another --out.")
        for name in ("model", "optimizer", "scheduler"):
            getattr(self, name).load_state_dict(state[name])
        self.history = state["history"]

    def train(self) -> None:
        """Trains the epochs that are left."""
        for epoch in range(len(self.history), self.recipe.epochs):
            start = time.perf_counter()
            line: dict[str, Any] = {"epoch": epoch + 1, "loss": self._train_epoch(epoch)}
            line["train_seconds"] = round(time.perf_counter() - start, 1)
            if (epoch + 1) % self.every == 0 or epoch + 1 == self.recipe.epochs:
                line["val_map50"] = self.task.evaluate(self.model, "val")
            self.history.append(line)
            self._save()

    def finish(self) -> None:
        """Writes the weights and the record."""
        record = {
            "task": "bccd",
            **self.settings,
            "epochs": self.recipe.epochs,
            "batch_size": self.task.batch_size,
            "val_map50": self.history[-1]["val_map50"],
            "curve": [[line["epoch"], line["val_map50"]] for line in self.history if "val_map50" in line],
            "train_seconds": round(sum(line["train_seconds"] for line in self.history), 1),
            "command": shlex.join(["python", *sys.argv]),
            "machine": machine(),
        }
        weights = {name: tensor.contiguous() for name, tensor in self.model.state_dict().items()}
        replace_file(self._file(".safetensors"), lambda file: save_file(weights, file))
        RESULTS.mkdir(parents=True, exist_ok=True)
        path = RESULTS / f"{self.out.name}.json"
        replace_file(path, lambda file: file.write_text(json.dumps(record, indent=1) + "\n"))

    def _train_epoch(self, epoch: int) -> float:
        self.model.train()
        total = 0.0
        for batch in self.task.batches("train", epoch, self.seed):
            loss = self.task.loss(self.model, batch)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.scheduler.step()
            total += loss.item()
        return round(total / self.task.steps_per_epoch, 4)

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that bccd_to_coco.py wrote")
    parser.add_argument("--out", type=Path, required=True, help="path without suffix of everything that is written")
    parser.add_argument("--system", default="yolov3_tiny")
    parser.add_argument("--start", type=Path, help="weights of another data set to begin with")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=int, default=5, help="epochs between two looks at the val split")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    task = bccd_task(args.data, args.system, start=args.start)
    recipe = AdamWRecipe(epochs=args.epochs, lr=args.lr, weight_decay=5e-4, warmup=0.05)
    run = Run(task, recipe, args.seed, args.out, args.every)
    run.resume()
    run.train()
    run.finish()


if __name__ == "__main__":
    main()
