"""What one budget over all layers does at 98 % zeros in a very short run, and what helps: a small network, in minutes.

python benchmarks/allocation.py --seeds 0 1 2 --out benchmarks/results/allocation.json --into docs/how_to_choose.md
"""

import torch
from _digits_runs import Runs, dense_starts, keep, pruned, read_arguments, to_markdown

import slrprune as slr
from slrprune.rules import Rules
from slrprune.tasks import Digits

SPARSITY, EPOCHS = 0.98, 4
RULES: dict[str, Rules] = {
    "Global(0.98)": slr.Global(SPARSITY),
    'Global(0.98, allocation="lamp")': slr.Global(SPARSITY, allocation="lamp"),
    'Global(0.98, allocation="erk")': slr.Global(SPARSITY, allocation="erk"),
    '{"linear": None, "*": Global(0.98)}': {"linear": None, "*": slr.Global(SPARSITY)},
}
METHODS: dict[str, slr.Method] = {"SLR": slr.SLR(), "GradualMagnitude": slr.GradualMagnitude()}


def table(runs: Runs) -> str:
    """A row for all rules, a column for every method."""
    return to_markdown("rules", METHODS, {f"`{rules}`": by_method for rules, by_method in runs.items()})


def main() -> None:
    """Measures, records, writes the table."""
    arguments = read_arguments(__doc__)
    torch.set_num_threads(1)
    task = Digits()
    starts = dense_starts(task, arguments.seeds)
    runs = {
        name: {method: pruned(task, starts, rules, METHODS[method], EPOCHS) for method in METHODS}
        for name, rules in RULES.items()
    }
    keep({"sparsity": SPARSITY, "epochs": EPOCHS, "runs": runs}, table(runs), "allocation", arguments)


if __name__ == "__main__":
    main()
