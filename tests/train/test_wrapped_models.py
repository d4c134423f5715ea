"""Models with other names for their weights than the pruner has: what is told is told of the right ones."""

import json

import pytest
import torch
from stopped_runs import stopped, weights
from torch import nn

from slrprune import OneShot, Pruner, Unstructured
from slrprune.train import resume, run
from slrprune.train.rundir.history import read_history
from slrprune.train.rundir.layers import layer_rows

FILES = ("layers.json", "histograms.json", "summary.json")
OTHER = {"task", "started", "command", "seconds", "bytes_dense", "bytes_sparse", "resumed"}  # names lie in the files


def told(folder):
    """What the run's files say, times and sizes of files left out."""
    found = [json.loads((folder / name).read_text()) for name in FILES]
    lines = [line for line in read_history(folder / "history.jsonl") if line["kind"] != "event"]
    return [
        {name: value for name, value in entry.items() if name not in OTHER | {"time"}} for entry in (*found, *lines)
    ]


@pytest.fixture(scope="module")
def plain(configured, tmp_path_factory):
    """The run of the plain model."""
    folder = tmp_path_factory.mktemp("runs") / "plain"
    run(configured(task="run_task:blobs", retrain=1, ema=0.9, distil={"weight": 0.5}), folder)
    return folder


@pytest.mark.parametrize(("kind", "prefix"), [("wrapped", "module."), ("compiled", "_orig_mod.")])
def test_a_run_is_that_of_the_model_inside(configured, plain, tmp_path, kind, prefix):
    config = configured(task=f"run_task:{kind}", retrain=1, ema=0.9, distil={"weight": 0.5})
    stopped(config, tmp_path / "run", 3, phase="retrain")
    resume(tmp_path / "run")
    expected, found = weights(plain), weights(tmp_path / "run")
    assert list(found) == [f"{prefix}{name}" for name in expected]
    assert all(torch.equal(found[f"{prefix}{name}"], tensor) for name, tensor in expected.items())
    assert told(tmp_path / "run") == told(plain)
    torch._dynamo.reset()


@pytest.mark.parametrize(
    ("inner", "timed", "name"),
    [(nn.Sequential(nn.Linear(8, 4)), "module.0", "0.weight"), (nn.Linear(8, 4), "module", "weight")],
    ids=["a model", "a layer"],
)
@pytest.mark.parametrize("is_wrapped", [False, True], ids=["plain", "wrapped"])
def test_times_and_sizes_find_their_rows(configured, inner, timed, name, is_wrapped):
    from run_task import Inside

    model, timed = (Inside(inner), timed) if is_wrapped else (inner, timed.removeprefix("module").removeprefix("."))
    pruner = Pruner(
        model, torch.optim.SGD(model.parameters(), lr=0.1), Unstructured(0.5), total_steps=1, method=OneShot()
    )
    report = pruner.finalize()
    row, bias = layer_rows(model, report, torch.ones(1, 8), seconds={timed: 0.25}, residuals={name: 2.0})
    assert (row["name"], row["seconds"], row["macs_left"], row["primal_residual"]) == (name, 0.25, 16, 2.0)
    assert 0 < row["bytes_sparse"] <= row["bytes_dense"]
    assert bias["bytes_sparse"] == bias["bytes_dense"] == 16


def test_a_parametrized_layer_that_stays_dense_has_its_row():
    model = nn.Sequential(nn.Linear(8, 4), nn.utils.parametrizations.weight_norm(nn.Linear(4, 2)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    rules = {"1": None, "*": Unstructured(0.5)}
    report = Pruner(model, optimizer, rules, total_steps=1, method=OneShot()).finalize()
    rows = {row["name"]: row for row in layer_rows(model, report, torch.ones(1, 8), seconds={}, residuals={})}
    assert list(rows) == ["0.weight", "0.bias", "1.bias", "1.weight"]
    assert (rows["0.weight"]["macs"], rows["1.weight"]["macs"]) == (32, None)
    assert (rows["1.weight"]["shape"], rows["1.weight"]["skipped"]) == ([2, 4], "rule '1': None")
