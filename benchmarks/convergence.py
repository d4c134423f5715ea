"""The paper's claim about convergence: SLR with a third of the budget against ADMM with all of it.

    python benchmarks/convergence.py cifar10 --data .cache/cifar10 --sparsity 0.9 --budgets 6 12 --seeds 3

For each budget E, in epochs, SLR trains for E/3 and every ADMM for E, each with its own schedules over its own length,
from the same dense starts. ADMM's best setting is the one with the highest mean test accuracy, which favours ADMM. The
differences are paired by seed. Records are those of `slrprune compare`: a call that was stopped goes on where it was.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from slrprune.cli.task_options import read_options
from slrprune.compare import Plan, RunRecord, Target, check, compare, find
from slrprune.compare.statistics import PairedDifference, best_rival, paired_difference
from slrprune.tasks import Task
from slrprune.tasks.options import build_task
from slrprune.user_code import import_module


@dataclass(frozen=True)
class Verdict:
    """One budget.

    Attributes:
        epochs: E, of ADMM.
        short: E/3, of SLR.
        accuracy: mean test accuracy of SLR after the cut, in percent; None where every run diverged.
        rival: ADMM's best setting; None where all of them diverged.
        rival_accuracy: its mean test accuracy.
        lead: SLR minus that, paired by seed.
    """

    epochs: int
    short: int
    accuracy: float | None
    rival: str | None
    rival_accuracy: float | None
    lead: PairedDifference | None

    @property
    def holds(self) -> bool:
        """Whether SLR is at least as good on average."""
        return self.lead is not None and self.lead.mean >= 0


def judged(ours: Sequence[RunRecord], rivals: Sequence[RunRecord]) -> Verdict:
    """What the records of one budget say.

    Args:
        ours: of SLR, at least one.
        rivals: of all settings of ADMM, at least one.
    """
    accuracies = _by_seed(ours)
    settings = {record.method: _by_seed([r for r in rivals if r.method == record.method]) for record in rivals}
    best = best_rival(accuracies, settings)
    return Verdict(
        epochs=rivals[0].epochs,
        short=ours[0].epochs,
        accuracy=fmean(accuracies.values()) if accuracies else None,
        rival=best,
        rival_accuracy=None if best is None else fmean(settings[best].values()),
        lead=None if best is None else paired_difference(accuracies, settings[best]),
    )


def _by_seed(records: Sequence[RunRecord]) -> dict[int, float]:
    return {r.seed: r.test_accuracy_after_cut for r in records if r.test_accuracy_after_cut is not None}


def plans(args: argparse.Namespace) -> list[tuple[Plan, Plan]]:
    """SLR's plan and ADMM's, for each budget."""
    target, seeds = (Target.at(args.sparsity),), tuple(range(args.seeds))
    ours, rivals = find([args.method]), find(args.against.split(","))
    return [
        (Plan(ours, target, budget // args.factor, seeds), Plan(rivals, target, budget, seeds))
        for budget in args.budgets
    ]


def run(task: Task, pairs: Sequence[tuple[Plan, Plan]], folder: Path, workers: int = 1) -> list[Verdict]:
    """Runs what is not finished yet; all plans are checked before the first one begins."""
    for pair in pairs:
        for plan in pair:
            check(task, plan, folder)
    return [judged(*(compare(task, plan, folder, workers=workers) for plan in pair)) for pair in pairs]


def table(verdicts: Sequence[Verdict]) -> str:
    """Markdown, a row for each budget."""
    head = (
        "| epochs | SLR | epochs | best ADMM | accuracy | SLR minus ADMM |\n| ---: | ---: | ---: | --- | ---: | ---: |"
    )
    return "\n".join([head, *map(row, verdicts)])


def verdicts_of(records: Sequence[RunRecord], factor: int = 3, method: str = "slr") -> list[Verdict]:
    """Of stored records: a budget for each length of a rival with a run of `method` that is `factor` times shorter."""
    ours, rivals = [r for r in records if r.method == method], [r for r in records if r.method != method]
    budgets = sorted({r.epochs for r in rivals} & {factor * r.epochs for r in ours})
    return [
        judged([r for r in ours if factor * r.epochs == budget], [r for r in rivals if r.epochs == budget])
        for budget in budgets
    ]


def row(verdict: Verdict) -> str:
    """One line of the table."""
    figures = ["diverged" if a is None else f"{a:.2f}" for a in (verdict.accuracy, verdict.rival_accuracy)]
    lead = "-"
    if verdict.lead is not None:
        interval = "" if verdict.lead.low is None else f" [{verdict.lead.low:+.2f}, {verdict.lead.high:+.2f}]"
        lead = f"{verdict.lead.mean:+.2f}{interval}"
    return f"| {verdict.short} | {figures[0]} | {verdict.epochs} | {verdict.rival or '-'} | {figures[1]} | {lead} |"


def main() -> None:
    """Runs everything and prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task")
    parser.add_argument("--method", default="slr")
    parser.add_argument("--against", default="admm,admm_ramp,admm_leak")
    parser.add_argument("--rivals", action="append", default=[], help="module that registers more methods")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--option", action="append", default=[], help="setting of the task, as name=value")
    parser.add_argument("--sparsity", type=float, default=0.9)
    parser.add_argument("--budgets", type=int, nargs="+", default=[6, 12])
    parser.add_argument("--factor", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    if any(budget % args.factor for budget in args.budgets):
        parser.error(f"every budget must be a multiple of {args.factor}, so that SLR gets whole epochs")
    for module in args.rivals:
        import_module(module, "convergence")
    task = build_task(args.task, read_options(args.option, args.data, "convergence"), "convergence")
    print(table(run(task, plans(args), args.out, args.workers)))


if __name__ == "__main__":
    main()
