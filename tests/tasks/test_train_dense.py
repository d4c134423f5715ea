"""The dense training script: a run that is stopped and resumed ends where an uninterrupted one does."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from slrprune.tasks import Cifar10

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "train_dense.py"


@pytest.fixture(scope="module")
def script():
    if not SCRIPT.is_file():
        pytest.skip(f"needs {SCRIPT}")
    spec = importlib.util.spec_from_file_location("train_dense", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(script, tiny_cifar10, tmp_path, monkeypatch):
    """Makes a run of two epochs of two steps on made-up data."""
    monkeypatch.setattr("slrprune.tasks.cifar10.read_cifar10", lambda data, split: tiny_cifar10[split])
    task = Cifar10(holdout=20, batch_size=20)
    recipe = replace(task.dense_recipe, epochs=2)
    return lambda name, seed=0: script.cifar_run(task, recipe, seed, tmp_path / name)


def test_resumed_equals_uninterrupted(run, tmp_path, monkeypatch):
    whole = run("whole")
    whole.train()
    whole.finish()

    first = run("parts")
    save = first._save

    def save_and_stop():
        save()
        raise KeyboardInterrupt

    monkeypatch.setattr(first, "_save", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        first.train()
    second = run("parts")
    second.resume()
    assert len(second.history) == 1
    second.train()
    second.finish()

    expected, weights = (load_file(tmp_path / f"{name}.safetensors") for name in ("whole", "parts"))
    assert list(weights) == list(expected)
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    assert [line["loss"] for line in second.history] == [line["loss"] for line in whole.history]


def test_what_is_written(run, tmp_path):
    one = run("one")
    one.resume()  # nothing there: starts at the beginning
    one.train()
    one.finish()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["one.ckpt", "one.json", "one.jsonl", "one.safetensors"]
    lines = [json.loads(line) for line in (tmp_path / "one.jsonl").read_text().splitlines()]
    record = json.loads((tmp_path / "one.json").read_text())
    assert [line["epoch"] for line in lines] == [1, 2]
    assert record["val_accuracy"] == lines[-1]["val_accuracy"] == one.task.evaluate(one.model, "val")
    assert (record["task"], record["model"], record["seed"], record["epochs"]) == ("cifar10", "resnet20", 0, 2)
    assert Cifar10.dense_recipe.lr == 0.1
    one.task.checkpoint = tmp_path / "one.safetensors"
    assert all(map(torch.equal, one.task.pretrained().parameters(), one.model.parameters()))


def test_looks_at_the_val_split_every_few_epochs_and_at_the_end(script, run, tmp_path):
    task = run("a").task
    one = script.Run(task, replace(task.dense_recipe, epochs=3), 0, tmp_path / "b", settings={}, score="mAP", every=2)
    one.train()
    one.finish(tmp_path / "record.json", extra=1)
    record = json.loads((tmp_path / "record.json").read_text())
    assert ["mAP" in line for line in one.history] == [False, True, True]
    assert record["curve"] == [[2, one.history[1]["mAP"]], [3, one.history[2]["mAP"]]]
    assert (record["mAP"], record["extra"]) == (one.history[2]["mAP"], 1)
    assert not (tmp_path / "b.json").exists()


def test_a_checkpoint_of_other_settings_is_refused(run):
    one = run("one")
    one.train()
    with pytest.raises(SystemExit, match=r"one\.ckpt belongs to other settings.*Choose another --out\."):
        run("one", seed=1).resume()


def test_seeds_give_different_weights(run):
    assert not torch.equal(run("a", seed=0).model.conv1.weight, run("b", seed=1).model.conv1.weight)
    assert torch.equal(run("a", seed=1).model.conv1.weight, run("b", seed=1).model.conv1.weight)
