"""The core comparison in one table: the public ResNet-20 on CIFAR-10, one row for each sparsity (benchmarks/tables.py).

All runs of SLR are in float32, and so are those of its rivals as far as there are any; the others are in bfloat16, made
on machines of another kind, and are marked. Differences are paired by seed: dense weights, data and order are the same.
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


MARK = " †"
"""Stands at what was run in bfloat16."""


def table(path: Path) -> str:
    """Means and standard deviations of the test accuracies in percent, then SLR's leads with their 95% t intervals.

    A rival's runs in float32 are taken where it has one for each of SLR's seeds.

    Args:
        path: folder of the runs in bfloat16; those in float32 lie beside it, in `core_float32`.
    """
    precise = _by_sparsity(load_records(path.parent / "core_float32"), ["slr", *RIVALS])
    coarse = _by_sparsity(load_records(path), list(RIVALS))
    heads = ["", "SLR", *RIVALS.values(), "SLR minus dynamic pruning with feedback", "SLR minus the best other"]
    lines = [f"| {' | '.join(heads)} |", f"| --- |{' ---: |' * (len(heads) - 1)}"]
    for sparsity in sorted(precise):
        slr, exact = precise[sparsity]["slr"], precise[sparsity]
        marked = {name for name in RIVALS if exact.get(name, {}).keys() != slr.keys()}
        rivals = {name: (coarse[sparsity] if name in marked else exact).get(name, {}) for name in RIVALS}
        present = [name for name in RIVALS if rivals[name]]
        best = max((name for name in present if name != FREE), key=lambda name: _mean(rivals[name]))
        cells = [_cell(slr, ""), *(_cell(rivals[name], MARK if name in marked else "") for name in RIVALS)]
        found = [(name, paired_difference(slr, rivals[name])) for name in (FREE, best)]
        leads = ["" if lead is None else difference(lead) + (MARK if name in marked else "") for name, lead in found]
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


def _cell(accuracies: Mapping[int, float], mark: str) -> str:
    return percent(summarize(list(accuracies.values()))) + mark if accuracies else ""
