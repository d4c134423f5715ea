"""The core comparison in one table: the public ResNet-20 on CIFAR-10, one row for each sparsity (benchmarks/tables.py).

All runs are in bfloat16. Differences are paired by seed: dense weights, data and order are the same.
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
    "classic_slr_ramp": "SLR as published",
}
FREE = "dpf"
"""SLR without its safeguard: its difference has a column of its own, and is not that to the best of the others."""


def table(path: Path) -> str:
    """Means and standard deviations of the test accuracies in percent, then SLR's leads with their 95% t intervals.

    Args:
        path: folder of the records.
    """
    found = _by_sparsity(load_records(path))
    rivals = {name: head for name, head in RIVALS.items() if any(name in methods for methods in found.values())}
    heads = ["", "SLR", *rivals.values(), "SLR minus dynamic pruning with feedback", "SLR minus the best other"]
    lines = [f"| {' | '.join(heads)} |", f"| --- |{' ---: |' * (len(heads) - 1)}"]
    for sparsity in sorted(found):
        methods = found[sparsity]
        slr = methods["slr"]
        best = max((name for name in rivals if name != FREE and name in methods), key=lambda name: _mean(methods[name]))
        leads = [paired_difference(slr, methods[name]) for name in (FREE, best)]
        cells = [_cell(methods.get(name)) for name in ("slr", *rivals)]
        cells += ["" if lead is None else difference(lead) for lead in leads]
        lines.append(f"| {100 * sparsity:g} % | {' | '.join(cells)} |")
    return "\n".join(lines)


def _by_sparsity(records: Iterable[RunRecord]) -> Mapping[float, Mapping[str, dict[int, float]]]:
    """Test accuracies by sparsity, method and seed; two runs for one place would be a mistake."""
    found: dict[float, dict[str, dict[int, float]]] = {}
    for record in records:
        if record.method in ("slr", *RIVALS):
            assert record.test_accuracy_after_cut is not None, record
            of_method = found.setdefault(record.sparsity, {}).setdefault(record.method, {})
            assert record.seed not in of_method, record
            of_method[record.seed] = record.test_accuracy_after_cut
    return found


def _mean(accuracies: Mapping[int, float]) -> float:
    return summarize(list(accuracies.values())).mean


def _cell(accuracies: Mapping[int, float] | None) -> str:
    """The mean with its standard deviation, and the number of seeds where that is one."""
    if not accuracies:
        return ""
    return percent(summarize(list(accuracies.values()))) + (" (1 seed)" if len(accuracies) == 1 else "")
