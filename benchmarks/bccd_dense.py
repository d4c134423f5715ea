"""Trains a detector on BCCD's 205 training images, from scratch or from the weights of another data set.

    python benchmarks/bccd_to_coco.py --data ../shared/data --out .cache/bccd
    python benchmarks/bccd_dense.py --data .cache/bccd --out .cache/bccd_dense/yolov3_tiny

Writes OUT.jsonl (one line an epoch; the mAP of the "val" split every few), OUT.ckpt (to resume from: run the same
command again), and at the end OUT.safetensors (the weights, for the task's option `checkpoint`) and the record, in
benchmarks/results/bccd/dense. The test split is not touched.
"""

import argparse
from pathlib import Path

import torch
from bccd_tasks import bccd_task
from train_dense import Run

from slrprune.tasks.recipe import AdamWRecipe

RESULTS = Path(__file__).parent / "results" / "bccd" / "dense"


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
    settings = {"size": list(task.system.size)}
    run = Run(task, recipe, args.seed, args.out, settings=settings, score="val_map50", every=args.every)
    run.resume()
    run.train()
    RESULTS.mkdir(parents=True, exist_ok=True)
    run.finish(RESULTS / f"{args.out.name}.json", batch_size=task.batch_size)


if __name__ == "__main__":
    main()
