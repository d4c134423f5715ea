"""The core comparison in one table: the public ResNet-20 on CIFAR-10, one row for each sparsity (benchmarks/tables.py).

SLR's runs were made in float32 and its rivals' in bfloat16, on machines of two kinds, so that this table stands beside
those of `slrprune table`, which refuse to mix them. Differences are paired by seed: dense start, data and their order
are the same.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from slrprune.compare import RunRecord, load_records
from slrprune.compare.statistics import PairedDifference, paired_difference, summarize
from slrprune.compare.text import percent

COLUMNS = {
    "slr": "SLR",
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
    found = _by_sparsity([*load_records(path), *_of("slr", load_records(path.parent / "core_float32"))])
    heads = ["", *COLUMNS.values(), "SLR minus dynamic pruning with feedback", "SLR minus the best other"]
    lines = [f"| {' | '.join(heads)} |", f"| --- |{' ---: |' * (len(heads) - 1)}"]
    for sparsity, methods in sorted(found.items()):
        cells = [percent(summarize(list(methods[name].values()))) if name in methods else "" for name in COLUMNS]
        others = [name for name in COLUMNS if name in methods and name not in ("slr", FREE)]
        best = max(others, key=lambda name: summarize(list(methods[name].values())).mean)
        leads = [_lead(paired_difference(methods["slr"], methods[name])) for name in (FREE, best)]
        lines.append(f"| {100 * sparsity:g} % | {' | '.join([*cells, *leads])} |")
    return "\n".join(lines)


def _of(method: str, records: Iterable[RunRecord]) -> list[RunRecord]:
    return [record for record in records if record.method == method]


def _by_sparsity(records: Iterable[RunRecord]) -> Mapping[float, Mapping[str, dict[int, float]]]:
    """Test accuracies by sparsity, method and seed; a run without one would be a missing figure, so it is an error."""
    found: dict[float, dict[str, dict[int, float]]] = {}
    for record in records:
        assert record.test_accuracy_after_cut is not None, record
        of_method = found.setdefault(record.sparsity, {}).setdefault(record.method, {})
        of_method[record.seed] = record.test_accuracy_after_cut
    return found


def _lead(difference: PairedDifference | None) -> str:
    if difference is None:
        return ""
    interval = "" if difference.low is None else f" [{difference.low:+.2f}, {difference.high:+.2f}]"
    return f"{difference.mean:+.2f}{interval}"
