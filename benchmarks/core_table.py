"""The core comparison in one table: the public ResNet-20 on CIFAR-10, one row for each sparsity (benchmarks/tables.py).

SLR's runs were made in float32 and its rivals' in bfloat16, on machines of two kinds, so that this table stands beside
those of `slrprune table`, which do not mix them. Differences are paired by seed: dense weights, data and order are
the same.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from slrprune.compare import RunRecord, load_records
from slrprune.compare.statistics import paired_difference, summarize
from slrprune.compare.text import difference, percent

RIVALS = {
    "dpf": "dynamic pruning with feedback",
    "torchao_pat": "torchao's pruning-aware optimizer",
    "gradual_magnitude": "gradual magnitude",
    "admm_ramp": "ADMM",
}
FREE = "dpf"
"""SLR without its safeguard: its difference has a column of its own, and is not that to the best of the others."""


def table(path: Path) -> str:
    """Means and standard deviations of the test accuracies in percent, then SLR's leads with their 95% t intervals.

    Args:
        path: folder of the rivals' records; those of SLR lie beside it, in `core_float32`.
    """
    ours = _by_sparsity(load_records(path.parent / "core_float32"), ["slr"])
    theirs = _by_sparsity(load_records(path), list(RIVALS))
    heads = ["", "SLR", *RIVALS.values(), "SLR minus dynamic pruning with feedback", "SLR minus the best other"]
    lines = [f"| {' | '.join(heads)} |", f"| --- |{' ---: |' * (len(heads) - 1)}"]
    for sparsity in sorted(ours):
        slr, rivals = ours[sparsity]["slr"], theirs[sparsity]
        best = max((name for name in rivals if name != FREE), key=lambda name: _mean(rivals[name]))
        cells = [_cell(slr), *(_cell(rivals.get(name, {})) for name in RIVALS)]
        found = [paired_difference(slr, rivals[name]) for name in (FREE, best)]
        leads = ["" if lead is None else difference(lead) for lead in found]
        lines.append(f"| {100 * sparsity:g} % | {' | '.join([*cells, *leads])} |")
    return "\n".join(lines)


def _by_sparsity(records: Iterable[RunRecord], methods: list[str]) -> Mapping[float, Mapping[str, dict[int, float]]]:
    """Test accuracies by sparsity, method and seed; two runs for one place would be a mistake."""
    found: dict[float, dict[str, dict[int, float]]] = {}
    for record in records:
        if record.method in methods:
            assert record.test_accuracy_after_cut is not None, record
            of_method = found.setdefault(record.sparsity, {}).setdefault(record.method, {})
            assert record.seed not in of_method, record
            of_method[record.seed] = record.test_accuracy_after_cut
    return found


def _mean(accuracies: Mapping[int, float]) -> float:
    return summarize(list(accuracies.values())).mean


def _cell(accuracies: Mapping[int, float]) -> str:
    return percent(summarize(list(accuracies.values()))) if accuracies else ""
