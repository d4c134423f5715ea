"""SLR's defaults one by one: every setting gets the same steps from the same dense net, judged on validation data.

    python benchmarks/ablation.py --data .cache/cifar10 --out runs/ablation --seeds 3 --part ramp --bf16

Records are those of `slrprune compare`: killed and called again, it goes on where it stopped. The table of
docs/ablation.md is written by

    python benchmarks/ablation.py --out runs/ablation --table docs/ablation.md
"""

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from _ablation_settings import ALLOCATIONS, PARTS, VARIANTS, allocated
from small_cifar import SmallCifar

from slrprune.compare import MethodArm, Plan, RunRecord, Target, compare, find, insert, load_records
from slrprune.compare.statistics import paired_difference, summarize
from slrprune.structures import GLOBAL, targets

BASES = ("slr", "refused", "sigma_05", "cubic_tolerant")
"""Differences are taken to the first of these that a table has: the present default, or one of those before."""


def table(records: Sequence[RunRecord]) -> str:
    """Markdown: a table for each target, length, precision and rate, a row for each setting, the best first.

    Runs of other conditions (data, dense nets, recipe) stay apart.
    """
    grouped: dict[tuple[str, ...], list[RunRecord]] = {}
    starts: dict[str, set[float]] = {}  # conditions: accuracies of the dense nets
    for record in records:
        if record.val_accuracy_after_cut is not None:
            precision = "bfloat16" if record.task_settings.get("bf16") else "float32"
            rate = re.search(r"lr=([0-9.e-]+)", record.recipe)
            what = (f"{record.epochs} epochs", precision, f"learning rate {rate[1] if rate else 'unknown'}")
            level = _level(record)
            grouped.setdefault((level, *what, record.conditions), []).append(record)
            starts.setdefault(record.conditions, set()).add(record.dense_val_accuracy or 0.0)
    parts = []
    for *what, conditions in sorted(grouped):
        dense = ", ".join(dict.fromkeys(f"{value:.1f}" for value in sorted(starts[conditions])))
        parts.append(f"**{', '.join(what)}, dense nets at {dense}**\n\n{_rows(grouped[(*what, conditions)])}")
    return "\n\n".join(parts)


def _rows(records: Sequence[RunRecord]) -> str:
    found: dict[str, dict[int, float]] = {}
    for record in records:
        runs = found.setdefault(_setting(record), {})
        if record.seed in runs:
            raise SystemExit(f"{record.method}, seed {record.seed}: two records of the same run; keep one of them.")
        runs[record.seed] = record.val_accuracy_after_cut or 0.0
    base = next((name for name in BASES if name in found), "")
    lines = [
        "| setting | what it is | seeds | validation accuracy |" + (f" against `{base}` |" if base else ""),
        "| --- | --- | ---: | ---: |" + (" ---: |" if base else ""),
    ]
    names = sorted(found, key=lambda name: -summarize(list(found[name].values())).mean)
    cells = ((name, _what(name), str(len(found[name])), _mean(found[name])) for name in names)
    lines += [f"| {' | '.join(row)} |{_lead(row[0], base, found)}" for row in cells]
    return "\n".join(lines)


def _level(record: RunRecord) -> str:
    """What all of a table were asked for: a sparsity of one budget, or a set."""
    level = record.target.partition("-")[0]
    return level if level.endswith("%") else record.target


def _setting(record: RunRecord) -> str:
    """The method's name, and after a comma that of the allocation where it is not the default."""
    allocation = record.target.removeprefix(_level(record)).removeprefix("-")
    return f"{record.method}, {allocation}" if allocation else record.method


def _what(name: str) -> str:
    method, _, allocation = name.partition(", ")
    what = VARIANTS[method][0] if method in VARIANTS else find([method])[0].description
    return f"{what}; {ALLOCATIONS[allocation][0]}" if allocation else what


def _mean(values: Mapping[int, float]) -> str:
    summary = summarize(list(values.values()))
    return f"{summary.mean:.2f}" + (f" ± {summary.std:.2f}" if summary.std is not None else "")


def _lead(name: str, base: str, found: Mapping[str, Mapping[int, float]]) -> str:
    """The last cell of a row: nothing where the table has no base."""
    difference = paired_difference(found[name], found[base]) if base else None
    if name == base or difference is None:
        return " |" if base else ""
    interval = "" if difference.low is None else f" [{difference.low:+.2f}, {difference.high:+.2f}]"
    return f" {difference.mean:+.2f}{interval} |"


def _target(sparsity: float, allocation: str | None) -> Target:
    plain = Target.at(sparsity)
    if allocation is None:
        return plain
    return Target(f"{plain.label}-{allocation}", allocated(sparsity, allocation), sparsity)


def main() -> None:
    """Runs one part, or writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--part", choices=PARTS)
    parser.add_argument("--settings", nargs="+", help="names of settings, in place of a part")
    parser.add_argument("--table", type=Path, help="a document in which to write the table of --out, and no run")
    parser.add_argument(
        "--allocation", choices=ALLOCATIONS, help="how the budget is shared out, in place of the default"
    )
    parser.add_argument("--set", default=GLOBAL, help="a set of `slrprune compare`, the same in every layer")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--bf16", action="store_true", help="bfloat16 autocast")
    parser.add_argument("--lr", type=float, help="learning rate of all runs, in place of the recipe's")
    parser.add_argument("--dense-epochs", type=int, help="length of the dense training, in place of the recipe's")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--sparsity", type=float, nargs="*", default=[0.95], help="no number for sets that own theirs")
    args = parser.parse_args()
    if args.table is not None:
        text = insert(args.table.read_text(), "ablation", table(load_records(args.out)), str(args.table))
        args.table.write_text(text)
        return
    names = args.settings or PARTS.get(args.part)
    if names is None:
        parser.error("--part, --settings or --table is needed")
    arms = tuple(MethodArm(name, *VARIANTS[name]) if name in VARIANTS else find([name])[0] for name in names)
    task = SmallCifar(args.data, bf16=args.bf16)
    if args.set != GLOBAL and args.allocation:
        parser.error("--allocation shares out one budget, and a set of --set has none")
    shared = tuple(_target(value, args.allocation) for value in args.sparsity)
    asked = shared if args.set == GLOBAL else targets(args.set, tuple(args.sparsity), task.build_model())
    plan = Plan(arms, asked, args.epochs, tuple(range(args.seeds)))
    if args.lr is not None:
        task.pruning_recipe = replace(task.pruning_recipe, lr=args.lr)
    if args.dense_epochs is not None:
        task.dense_recipe = replace(task.dense_recipe, epochs=args.dense_epochs)
    compare(task, plan, args.out, workers=args.workers, tests=False)


if __name__ == "__main__":
    main()
