"""The ten runs of Cora's recipe: the docs hold their figures."""

import json
from pathlib import Path
from statistics import fmean, stdev

ROOT = Path(__file__).resolve().parents[2]
COLUMNS = ("dense_accuracy", "accuracy_after_cut", "accuracy_after_retraining")


def test_the_docs_hold_the_means_of_the_committed_runs():
    runs = json.loads((ROOT / "benchmarks" / "results" / "cora_recipe.json").read_text())["runs"]
    assert [run["seed"] for run in runs] == list(range(10))
    values = [[run[column] for run in runs] for column in COLUMNS]
    dense, cut, retrained = (f"{fmean(column):.2f} ± {stdev(column):.2f}" for column in values)
    paper, tasks = ((ROOT / "docs" / name).read_text() for name in ("paper.md", "tasks.md"))
    assert f"{cut} after the cut, {retrained} retrained, dense {dense} (10 seeds)" in paper
    assert f"| {dense} | {cut} | {retrained} |" in tasks
