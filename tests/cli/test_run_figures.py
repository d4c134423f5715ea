"""What `slrprune prune` says at the end of a run."""

from slrprune.cli.run_figures import figures

SUMMARY = {
    "status": "ok",
    "reason": None,
    "metric": "mAP@0.5",
    "split": "test",
    "retrain_epochs": 2,
    "dense_accuracy": 84.771,
    "accuracy_after_cut": 80.0,
    "accuracy_after_retraining": None,
    "details": {
        "dense": {"mAP@0.5:0.95": 45.352, "perplexity": 4.0},
        "after_cut": {"mAP@0.5:0.95": 42.0, "perplexity": None},
        "after_retraining": {"mAP@0.5:0.95": 43.0, "perplexity": 5.0},
    },
    "sparsity_reached": 0.8,
    "compression": 5.0,
    "bytes_dense": 4000,
    "bytes_sparse": 1200,
    "latency_ms": None,
}


def test_every_figure_has_a_line_with_all_its_stages(tmp_path):
    assert figures(SUMMARY, tmp_path) == [
        "mAP@0.5 on the test split: 84.77% dense, 80.00% after the cut, not measured after 2 epochs of retraining",
        "mAP@0.5:0.95: 45.35 dense, 42.00 after the cut, 43.00 after 2 epochs of retraining",
        "perplexity: 4.00 dense, not measured after the cut, 5.00 after 2 epochs of retraining",
        "sparsity 80.00% of the pruned weights, 5.0x; 4,000 -> 1,200 bytes",
        f"The run: {tmp_path}",
    ]


def test_without_retraining_and_further_figures(tmp_path):
    (tmp_path / "report.html").touch()
    found = SUMMARY | {"retrain_epochs": 0, "details": {"dense": {}, "after_cut": {}}, "compression": None}
    found |= {"latency_ms": 1.0, "latency_dense_ms": 2.5, "latency_note": "One thread."}
    assert figures(found, tmp_path) == [
        "mAP@0.5 on the test split: 84.77% dense, 80.00% after the cut",
        "sparsity 80.00% of the pruned weights, no weight is left; 4,000 -> 1,200 bytes",
        "latency 2.500 -> 1.000 ms. One thread.",
        f"The run: {tmp_path}, its report: {tmp_path / 'report.html'}",
    ]
