"""Prunes the detectors trained on BCCD and says how sure the drop is: docs/bccd.md.

    python benchmarks/bccd.py prune --data .cache/bccd --system yolov3_tiny \\
        --dense .cache/bccd_dense/yolov3_tiny.safetensors --methods slr,gradual_magnitude,admm
    python benchmarks/bccd.py table

The first prunes from the dense weights, all methods for the same epochs, cuts, looks at the test split once, and
compares the models by a paired bootstrap over the test images. It leaves the records of `slrprune compare` in --out
and, with the intervals, in benchmarks/results/bccd; a call that was stopped goes on where it was. With --short
FRACTION SLR gets that part of the epochs: the paper's claim about convergence in detection is one half.

The second writes the tables of docs/bccd.md from the records.
"""

import argparse
import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bccd_tasks import SIZES, bccd_task

from slrprune import ADMM, GeometricPenalty
from slrprune.compare import Arm, MethodArm, Plan, RunRecord, compare, find, insert
from slrprune.compare.engine import Silent
from slrprune.compare.keep import Keep, kept_path
from slrprune.deploy.sparse_file import load_sparse
from slrprune.target import Target
from slrprune.tasks.coco.bootstrap import drop_interval
from slrprune.tasks.coco.metric import Judged
from slrprune.tasks.coco.task import Coco

RESULTS = Path(__file__).parent / "results" / "bccd"
PAGE = Path(__file__).parents[1] / "docs" / "bccd.md"
DRAWS = 2000

STRONG = {
    f"admm_to_{rho}": MethodArm(
        f"admm_to_{rho}",
        f"ADMM, rho growing from {rho / 100:g} to {rho}",
        ADMM(penalty=GeometricPenalty(rho / 100, float(rho))),
    )
    for rho in (300, 1000, 3000)
}
"""ADMM for the small learning rates of AdamW: its pull on the weights is learning rate times rho."""


class Copying(Silent):
    """Judges a run as soon as it has ended, so that a stopped program leaves whole results."""

    def __init__(self, task: Coco, dense: Judged, runs: Path, results: Path) -> None:
        self.task, self.dense, self.runs, self.results = task, dense, runs, results

    def run_ended(self, record: RunRecord) -> None:
        """Copies its record and adds the interval of its drop."""
        path = next(
            path for path in self.runs.glob("*.json") if json.loads(path.read_text())["identity"] == record.identity
        )
        self.results.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, self.results / path.name)
        if not record.is_ok:
            return
        model = self.task.build_model()
        load_sparse(kept_path(path), model)
        judged = self.task.judge(model, "test")
        found = {
            "drop_map50": asdict(drop_interval(self.dense, judged, draws=DRAWS)),
            "drop_map50_95": asdict(drop_interval(self.dense, judged, at_half=False, draws=DRAWS)),
            "draws": DRAWS,
            "categories": by_category(self.task, judged),
            "dense_categories": by_category(self.task, self.dense),
        }
        file = self.results / "intervals" / path.name
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(found, indent=1) + "\n")


def by_category(task: Coco, judged: Judged) -> dict[str, float]:
    """AP@0.5 of each category, percent."""
    values = judged.precisions().categories[:, 0]
    return {name: round(float(value), 2) for name, value in zip(task.categories, values, strict=True)}


def prune(args: argparse.Namespace) -> None:
    """Runs what is not finished yet."""
    torch.set_num_threads(args.threads)
    task = bccd_task(args.data, args.system, checkpoint=args.dense)
    runs = args.out or Path("runs/bccd") / args.system
    model = task.pretrained()
    assert model is not None
    observer = Copying(task, task.judge(model, "test"), runs, RESULTS / args.system)
    keep = Keep({"data": args.data, "system": args.system})
    target, seeds = (Target.at(args.sparsity),), tuple(args.seeds)
    for method in args.methods.split(","):
        epochs = round(args.epochs * args.short) if method.startswith("slr") else args.epochs
        compare(task, Plan(arm(method), target, epochs, seeds), runs, observer=observer, keep=keep)


def arm(name: str) -> tuple[Arm, ...]:
    """The arm of that name, of this file's or of the library's."""
    return (STRONG[name],) if name in STRONG else find([name])


def rows(folder: Path) -> Iterator[str]:
    """One line for each run."""
    for path in sorted(folder.glob("*.json")):
        record: dict[str, Any] = json.loads(path.read_text())
        start = f"| {record['method']} | {record['epochs']} | {record['seed']}"
        if record["status"] != "ok":
            yield f"{start} | {record['status']} | | | |"
            continue
        found = json.loads((path.parent / "intervals" / path.name).read_text())
        drop, whole = found["drop_map50"], found["drop_map50_95"]
        categories = ", ".join(f"{found['categories'][name]:.1f}" for name in found["categories"])
        yield (
            f"{start} | {drop['after']:.2f} | {drop['value']:+.2f} [{drop['low']:+.2f}, {drop['high']:+.2f}]"
            f" | {categories} | {whole['before']:.2f}, {whole['after']:.2f} | {record['wall_time_s'] / 60:.0f} |"
        )


def summary(folder: Path) -> str:
    """The table of one system."""
    system = folder.name
    records = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    if not records:
        return f"**{system}**: not run yet."
    first = max(records, key=lambda record: record["sparsity"])
    interval = json.loads(next((folder / "intervals").glob("*.json")).read_text())
    of_dense = ", ".join(f"{name} {value:.1f}" for name, value in interval["dense_categories"].items())
    height, width = SIZES[system]
    head = (
        f"**{system}, {height}x{width}, {100 * first['sparsity']:.0f}% of the weights zero "
        f"({first['compression']:.1f}x), dense mAP@0.5 on test {first['dense_accuracy']:.2f}** ({of_dense}; "
        f"on val {first['dense_val_accuracy']:.2f})"
    )
    lines = [
        "| method | epochs | seed | mAP@0.5 | drop [95%] | by category | mAP@0.5:0.95 before, after | minutes |",
        "| --- | ---: | ---: | ---: | ---: | --- | ---: | ---: |",
        *rows(folder),
    ]
    means = {}
    for record in records:
        if record["status"] == "ok":
            drop = record["dense_accuracy"] - record["test_accuracy_after_cut"]
            means.setdefault((record["method"], record["epochs"]), []).append(drop)
    spread = [
        f"{method} ({epochs} epochs) {np.mean(drops):+.2f} over {len(drops)} seed{'s' if len(drops) > 1 else ''}"
        for (method, epochs), drops in means.items()
    ]
    return "\n".join([head, "", *lines, "", "Mean drop: " + "; ".join(spread) + "."])


def tables(results: Path) -> str:
    """Markdown: a table for each system, from the folder of their records."""
    return "\n\n".join(summary(results / system) for system in SIZES)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    pruning = commands.add_parser("prune", help="prune, cut, test")
    pruning.add_argument("--data", type=Path, required=True, help="folder that bccd_to_coco.py wrote")
    pruning.add_argument("--system", choices=tuple(SIZES), default="yolov3_tiny")
    pruning.add_argument("--dense", type=Path, required=True, help="weights that bccd_dense.py wrote")
    pruning.add_argument("--methods", default="slr", help=f"of the library, or {', '.join(STRONG)}")
    pruning.add_argument("--sparsity", type=float, default=0.8)
    pruning.add_argument("--epochs", type=int, default=16)
    pruning.add_argument("--short", type=float, default=1.0, help="part of the epochs that SLR gets")
    pruning.add_argument("--seeds", type=int, nargs="+", default=[0])
    pruning.add_argument("--out", type=Path, help="folder of records and models [runs/bccd/SYSTEM]")
    pruning.add_argument("--threads", type=int, default=1)
    commands.add_parser("table", help="write the tables of docs/bccd.md")
    args = parser.parse_args()
    if args.command == "table":
        PAGE.write_text(insert(PAGE.read_text(), "bccd", tables(RESULTS), PAGE.name))
    else:
        prune(args)


if __name__ == "__main__":
    main()
