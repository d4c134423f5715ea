"""SLR's defaults one by one: every setting gets the same steps from the same dense net, judged on validation data.

    python benchmarks/ablation.py --data .cache/cifar10 --out runs/ablation --seeds 3 --part path

Records are those of `slrprune compare`: killed and called again, it goes on where it stopped. The table of
docs/ablation.md is written by

    python benchmarks/ablation.py --out runs/ablation --table docs/ablation.md
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from small_cifar import SmallCifar

from slrprune import SLR, CosineStepsize, CubicRamp, DecayingStepsize, RelaxedPath
from slrprune.compare import MethodArm, Plan, RunRecord, Target, compare, find, insert, load_records
from slrprune.compare.statistics import paired_difference, summarize

PATH = RelaxedPath()
VARIANTS = {
    "cubic": ("sparsity ramp, sigma 0.3, no condition", SLR(tolerance=None, ramp=CubicRamp())),
    "cubic_late": ("sparsity ramp over 70% of the run", SLR(tolerance=None, ramp=CubicRamp(end=0.7))),
    "cubic_conditional": (
        "as cubic, and the multipliers wait for condition 1",
        SLR(ramp=CubicRamp(), tolerance=0.0),
    ),
    "cubic_tolerant": (
        "the default: as cubic, and the multipliers move less the worse condition 1 fails, tolerance 0.3",
        SLR(ramp=CubicRamp(), tolerance=0.3),
    ),
    "path": ("relaxed path, sigma 0.3", SLR(tolerance=None, ramp=PATH)),
    "path_steered": (
        "condition 1 holds the path back, by a quarter of the run at most",
        SLR(tolerance=None, ramp=RelaxedPath(slack=0.25)),
    ),
    "path_conditional": ("the multipliers wait for condition 1", SLR(ramp=PATH, tolerance=0.0)),
    "path_short": ("path over 30% of the run", SLR(tolerance=None, ramp=RelaxedPath(end=0.3))),
    "path_long": ("path over 70% of the run", SLR(tolerance=None, ramp=RelaxedPath(end=0.7))),
    "path_linear": ("beta falls linearly", SLR(tolerance=None, ramp=RelaxedPath(power=1.0))),
    "path_cubic": ("beta falls as a cube", SLR(tolerance=None, ramp=RelaxedPath(power=3.0))),
    "path_sigma_01": ("sigma 0.1", SLR(tolerance=None, ramp=PATH, sigma=0.1)),
    "path_sigma_1": ("sigma 1", SLR(tolerance=None, ramp=PATH, sigma=1.0)),
    "path_sigma_cosine": (
        "sigma from 1 to 0.1 by a cosine",
        SLR(tolerance=None, ramp=PATH, sigma=CosineStepsize(1.0, 0.1)),
    ),
    "path_sigma_alpha": ("sigma by alpha_k from 1", SLR(tolerance=None, ramp=PATH, sigma=DecayingStepsize())),
    "path_interval_5": ("mask every 5 steps", SLR(tolerance=None, ramp=PATH, interval=5)),
    "path_interval_20": ("mask every 20 steps", SLR(tolerance=None, ramp=PATH, interval=20)),
    "path_decay": ("0.1% of the memory forgotten at each update", SLR(tolerance=None, ramp=PATH, decay=0.001)),
}
PARTS = {
    "start": ("gradual_magnitude", "dpf", "cubic", "path", "path_steered"),
    "condition": ("cubic_conditional", "cubic_tolerant", "path_conditional"),
    "shape": ("path_short", "path_long", "path_linear", "path_cubic", "cubic_late"),
    "sigma": ("path_sigma_01", "path_sigma_1", "path_sigma_cosine", "path_sigma_alpha"),
    "rest": ("path_interval_5", "path_interval_20", "path_decay", "admm_ramp"),
}


def table(records: Sequence[RunRecord]) -> str:
    """Markdown: for each target and length one row per setting, with the difference to `path`."""
    grouped: dict[tuple[str, int], dict[str, dict[int, float]]] = {}
    for record in sorted(records, key=lambda record: (record.target, record.epochs)):
        if record.val_accuracy_after_cut is not None:
            runs = grouped.setdefault((record.target, record.epochs), {})
            runs.setdefault(record.method, {})[record.seed] = record.val_accuracy_after_cut
    return "\n\n".join(
        f"**{target}, {epochs} epochs**\n\n{_rows(found)}" for (target, epochs), found in grouped.items()
    )


def _rows(found: Mapping[str, Mapping[int, float]]) -> str:
    lines = [
        "| setting | what it is | seeds | validation accuracy | against `path` |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    for name in (name for part in PARTS.values() for name in part if name in found):
        what = VARIANTS[name][0] if name in VARIANTS else find([name])[0].description
        lines.append(f"| {name} | {what} | {len(found[name])} | {_mean(found[name])} | {_lead(name, found)} |")
    return "\n".join(lines)


def _mean(values: Mapping[int, float]) -> str:
    summary = summarize(list(values.values()))
    return f"{summary.mean:.2f}" + (f" ± {summary.std:.2f}" if summary.std is not None else "")


def _lead(name: str, found: Mapping[str, Mapping[int, float]]) -> str:
    difference = paired_difference(found[name], found.get("path", {}))
    if name == "path" or difference is None:
        return ""
    interval = "" if difference.low is None else f" [{difference.low:+.2f}, {difference.high:+.2f}]"
    return f"{difference.mean:+.2f}{interval}"


def main() -> None:
    """Runs one part, or writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--part", choices=PARTS)
    parser.add_argument("--settings", nargs="+", help="names of settings, in place of a part")
    parser.add_argument("--table", type=Path, help="a document in which to write the table of --out, and no run")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--sparsity", type=float, nargs="+", default=[0.95])
    args = parser.parse_args()
    if args.table is not None:
        text = insert(args.table.read_text(), "ablation", table(load_records(args.out)), str(args.table))
        args.table.write_text(text)
        return
    names = args.settings or PARTS.get(args.part)
    if names is None:
        parser.error("--part, --settings or --table is needed")
    targets = tuple(Target.at(value) for value in args.sparsity)
    arms = tuple(MethodArm(name, *VARIANTS[name]) if name in VARIANTS else find([name])[0] for name in names)
    plan = Plan(arms, targets, args.epochs, tuple(range(args.seeds)))
    compare(SmallCifar(args.data), plan, args.out)


if __name__ == "__main__":
    main()
