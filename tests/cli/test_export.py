"""`slrprune export`: from the folder of a run to a file for another program."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from slrprune.cli.export import find_model
from slrprune.compare import keep
from slrprune.compare.keep import Keep, kept_models
from slrprune.deploy import load_sparse
from slrprune.errors import ArgumentError, DataError, StateError
from slrprune.tasks import registry

QUICK = ("compare", "blobs", "--sparsity", "0.75", "--workers", "1", "--seeds", "1", "--option", "noise=0.25")


@pytest.fixture
def run(slrprune):
    """A comparison of one method that kept its model."""
    result = slrprune(*QUICK, "--methods", "slr", "--out", "run", "--keep-models")
    assert result.exit_code == 0
    return Path("run")


def test_a_kept_model_is_the_one_of_the_record(slrprune, run):
    (kept,) = kept_models(run)
    model, task = kept.rebuild()
    (record,) = [json.loads(path.read_text()) for path in run.glob("*.json")]
    assert task.evaluate(model, "test") == record["test_accuracy_after_cut"]
    assert kept.options == {"noise": 0.25}
    assert kept.run == "slr 75% seed 0"
    weights = [model[0].weight, model[3].weight]
    assert sum(int((weight == 0).sum()) for weight in weights) == 0.75 * 192


def test_sparse(slrprune, run):
    found = json.loads(slrprune("export", run, "--to", "sparse", "--json").stdout)
    assert found["to"] == "sparse"
    (kept,) = kept_models(run)
    model, _ = kept.rebuild()
    restored = load_sparse(found["path"])
    assert all(torch.equal(tensor, restored[name]) for name, tensor in model.state_dict().items())
    assert Path(found["path"]).stat().st_size == found["bytes"]
    result = slrprune("export", run, "--to", "sparse", "--out", "mine.safetensors")
    assert result.stdout.startswith("slr 75% seed 0: mine.safetensors: ")
    assert Path("mine.safetensors").exists()


def test_onnx(slrprune, run):
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    from slrprune.deploy.handover import OnnxSession

    found = json.loads(slrprune("export", run, "--to", "onnx", "--out", "mine.onnx", "--json").stdout)
    assert found["relative_difference"] < 1e-4
    (kept,) = kept_models(run)
    model, task = kept.rebuild()
    example = task.example_input()
    torch.testing.assert_close(OnnxSession("mine.onnx").run(example)[0], model(example).detach(), rtol=1e-4, atol=1e-5)


def test_shrunk(slrprune, run):
    pytest.importorskip("torch_pruning")
    from slrprune.deploy.shrink import resize_model_

    (kept,) = kept_models(run)
    model, task = kept.rebuild()
    model[0].weight.data[:4] = 0  # four neurons that do nothing
    keep.save_sparse(model, kept.path)
    found = json.loads(slrprune("export", run, "--to", "shrunk", "--json").stdout)
    assert found["parameters_after"] < found["parameters_before"]
    state = load_sparse(found["path"])
    rebuilt = task.build_model().eval()
    resize_model_(rebuilt, {name: tensor.shape for name, tensor in state.items()})
    load_sparse(found["path"], rebuilt)
    example = task.example_input()
    torch.testing.assert_close(rebuilt(example), model(example), rtol=1e-4, atol=1e-5)
    assert rebuilt[0].out_features < 16


PRUNE = ("--set", "tracker=none", "--set", "latency=false", "--set", "report=false", "--set", "device=cpu")


@pytest.fixture
def pruned(slrprune):
    """The folder of a run of `prune`, on a task with settings of its own."""
    pytest.importorskip("accelerate", reason="runs need accelerate, of the extra train")
    options = ("--sparsity", "0.75", "--epochs", "2", "--retrain", "1", "--set", "task_options.noise=0.25")
    result = slrprune("prune", "blobs", *options, "--out", "pruned", *PRUNE)
    assert result.exit_code == 0, result.stderr
    return Path("pruned")


def test_the_folder_of_a_run_of_prune(slrprune, pruned):
    result = slrprune("export", pruned, "--to", "sparse", "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["path"] == "pruned/model-sparse.safetensors"
    assert found["run"].startswith("blobs, SLR(")
    model, task = find_model(pruned).rebuild()
    expected = load_file(pruned / "model.safetensors")
    restored = load_sparse(found["path"])
    assert expected.keys() == restored.keys()
    assert all(torch.equal(tensor, restored[name]) for name, tensor in expected.items())
    summary = json.loads((pruned / "summary.json").read_text())
    assert task.evaluate(model, "test") == summary["accuracy_after_retraining"]
    _, task = find_model(pruned).rebuild(data="elsewhere")
    assert task.data == "elsewhere"


def test_an_export_needs_neither_the_device_of_the_run_nor_another_check_of_its_data(slrprune, pruned, monkeypatch):
    made = []

    class Careful(registry._TASKS["blobs"]):
        def __init__(self, noise=0.5, data=None, device="cpu", strict=False):
            made.append((noise, device, strict))
            super().__init__(noise, data)

    monkeypatch.setattr(registry, "_TASKS", {**registry._TASKS, "blobs": Careful})
    config = yaml.safe_load((pruned / "config.yaml").read_text())
    config["task_options"] |= {"device": "cuda:7", "strict": True}
    (pruned / "config.yaml").write_text(yaml.safe_dump(config))
    find_model(pruned).rebuild()
    assert made[-1] == (0.25, "cpu", False)


def test_a_run_that_left_no_model_says_why(slrprune, pruned):
    (pruned / "model.slrprune").unlink()
    with pytest.raises(DataError, match=r"pruned: the run left no model, its status is 'ok'\. Repeat the run\."):
        find_model(pruned)
    (pruned / "summary.json").write_text("{")
    with pytest.raises(DataError, match=r"summary\.json: the summary is damaged \(JSONDecodeError\)"):
        find_model(pruned)
    (pruned / "summary.json").unlink()
    result = slrprune("export", pruned, "--to", "sparse")
    assert result.exit_code == 1
    assert "so that there is no final model. Go on with it: slrprune prune --resume pruned." in result.stderr


def test_which_model_is_meant_has_to_be_clear(slrprune, run):
    slrprune(*QUICK, "--methods", "slr,dense", "--out", "run", "--keep-models")
    result = slrprune("export", run, "--to", "sparse")
    assert result.exit_code == 1
    assert "export: run holds 2 models. Name one of the files, for example run/models/blobs-mlp-dense" in result.stderr
    second = kept_models(run)[1]
    assert slrprune("export", second.path, "--to", "sparse").exit_code == 0


def test_models_are_kept_afterwards_too(slrprune, run):
    """A finished run without a model is repeated where its model is wanted, and gives the same."""
    (kept,) = kept_models(run)
    content, record = kept.path.read_bytes(), next(run.glob("*.json")).read_text()
    kept.path.unlink()
    slrprune(*QUICK, "--methods", "slr", "--out", "run", "--keep-models")
    assert kept.path.read_bytes() == content
    assert json.loads(next(run.glob("*.json")).read_text())["curve"] == json.loads(record)["curve"]
    stamp = kept.path.stat().st_mtime_ns
    slrprune(*QUICK, "--methods", "slr", "--out", "run", "--keep-models")
    assert kept.path.stat().st_mtime_ns == stamp


def test_what_holds_no_model_is_refused(slrprune, run):
    slrprune(*QUICK, "--methods", "slr", "--out", "bare")
    for arguments, sentence in (
        (("bare",), "bare: holds no model. slrprune demo keeps one; slrprune compare keeps them with --keep-models."),
        (("nowhere",), "nowhere: is no folder of a run. Name the folder that prune, demo or compare wrote to."),
    ):
        result = slrprune("export", *arguments, "--to", "sparse")
        assert result.exit_code == 1
        assert sentence in result.stderr
    assert slrprune("export", run, "--to", "paper").exit_code == 2
    result = slrprune(*QUICK, "--methods", "slr", "--folds", "2", "--keep-models")
    assert "--keep-models and --folds exclude each other" in result.stderr
    with pytest.raises(ArgumentError, match=r"Keep\(options=.*\): options must hold bools, numbers, strings, paths"):
        Keep({"weights": torch.zeros(2)})


def test_damaged_notes_are_refused(run):
    (kept,) = kept_models(run)
    note = kept.path.with_suffix(".json")
    note.write_text(json.dumps({"version": 99}))
    with pytest.raises(StateError, match=r"has version 99, and this program reads version 1"):
        kept_models(run)
    note.write_text("{")
    with pytest.raises(DataError, match=r"does not say how to build .*\. Delete the model, and repeat the run\."):
        kept_models(run)


def test_a_file_that_no_run_kept_is_refused_without_harm(tmp_path):
    path = tmp_path / "exported-sparse.safetensors"
    path.write_bytes(b"mine")
    with pytest.raises(DataError, match=r"is no model that a run kept: there is no exported-sparse\.json beside it"):
        find_model(path)
