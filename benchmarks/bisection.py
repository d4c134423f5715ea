"""The sparsity at which each method loses one point, by bisection.

    python benchmarks/bisection.py cifar10 --data .cache/cifar10 --methods slr,gradual_magnitude --epochs 4 --seeds 3

Every step of the bisection is a comparison of one method at one sparsity with all seeds, so that the records are those
of `slrprune compare`, and a call that was stopped goes on where it was. The next sparsity lies in the middle of the
bracket on the scale of log density, since from 98 to 99 % is as far as from 50 to 75 %. What is measured is the mean
drop on the test split; nothing is chosen by it. The drop is taken to grow with the sparsity: where noise makes it do
otherwise, the bracket is one of several crossings, and the table shows the drop at both of its ends.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from math import inf, sqrt
from pathlib import Path
from statistics import fmean

from slrprune.cli.task_options import read_options
from slrprune.compare import Arm, Plan, Target, check, compare, find
from slrprune.tasks import Task
from slrprune.tasks.options import build_task
from slrprune.user_code import import_module


@dataclass(frozen=True)
class Bracket:
    """Where the drop crosses the limit.

    Attributes:
        low: largest sparsity seen whose drop is within the limit; None where none was.
        low_drop: mean drop there, in points; infinite where a run diverged.
        high: smallest sparsity seen whose drop is beyond it; None where none was.
        high_drop: mean drop there.
    """

    low: float | None
    low_drop: float | None
    high: float | None
    high_drop: float | None


def bisect(drop_at: Callable[[float], float], limit: float, low: float, high: float, rounds: int) -> Bracket:
    """Brackets the sparsity at which `drop_at` crosses `limit`.

    Args:
        drop_at: drop in points at a sparsity.
        limit: in points.
        low: sparsity that is taken to be within the limit without a look, in [0, high).
        high: sparsity that is taken to be beyond it, below 1.
        rounds: how many sparsities are tried; each halves the bracket on the scale of log density.
    """
    within: tuple[float | None, float | None] = (None, None)
    beyond: tuple[float | None, float | None] = (None, None)
    for _ in range(rounds):
        middle = round(1 - sqrt((1 - low) * (1 - high)), 4)  # a short label, the same whenever it is computed
        drop = drop_at(middle)
        if drop <= limit:
            low, within = middle, (middle, drop)
        else:
            high, beyond = middle, (middle, drop)
    return Bracket(*within, *beyond)


def mean_drop(task: Task, arm: Arm, sparsity: float, epochs: int, seeds: int, folder: Path, workers: int) -> float:
    """Mean test accuracy of the dense starts minus that after the cut; infinite where one of them is not known."""
    plan = Plan((arm,), (Target.at(sparsity),), epochs, tuple(range(seeds)))
    drops = []
    for record in compare(task, plan, folder, workers=workers):
        dense, accuracy = record.dense_accuracy, record.test_accuracy_after_cut
        drops.append(inf if dense is None or accuracy is None else dense - accuracy)
    return fmean(drops)


def row(name: str, bracket: Bracket) -> str:
    """One line of the table."""
    ends = [(bracket.low, bracket.low_drop), (bracket.high, bracket.high_drop)]
    shown = ["-" if s is None else f"{100 * s:.2f}% ({1 / (1 - s):.1f}x): {drop:.2f}" for s, drop in ends]
    return f"| {name} | {shown[0]} | {shown[1]} |"


def main() -> None:
    """Bisects for every method and prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task")
    parser.add_argument("--methods", default="slr,dpf,gradual_magnitude,admm_ramp,classic_slr_ramp")
    parser.add_argument("--rivals", action="append", default=[], help="module that registers more methods")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--option", action="append", default=[], help="setting of the task, as name=value")
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--drop", type=float, default=1.0, help="the limit, in points")
    parser.add_argument("--low", type=float, default=0.5)
    parser.add_argument("--high", type=float, default=0.995)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    if not 0 <= args.low < args.high < 1:
        parser.error(f"0 <= low < high < 1 must hold, got --low {args.low:g} and --high {args.high:g}")
    for module in args.rivals:
        import_module(module, "bisection")
    task = build_task(args.task, read_options(args.option, args.data, "bisection"), "bisection")
    arms = find(args.methods.split(","))
    check(task, Plan(arms, (Target.at(args.high),), args.epochs, (0,)), args.out)
    print(
        f"| method | last within {args.drop:g} points: drop | first beyond: drop |\n| --- | ---: | ---: |", flush=True
    )
    for arm in arms:

        def drop_at(sparsity: float, arm: Arm = arm) -> float:
            return mean_drop(task, arm, sparsity, args.epochs, args.seeds, args.out, args.workers)

        print(row(arm.name, bisect(drop_at, args.drop, args.low, args.high, args.rounds)), flush=True)


if __name__ == "__main__":
    main()
