"""`slrprune.train.run`: what a run leaves, that it is the plain loop, that it goes on where it stopped."""

import json
import re
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from stopped_runs import Stopping, same_weights, stopped, weights

from slrprune import Global, Pruner
from slrprune.config import load_config
from slrprune.deploy import load_sparse
from slrprune.errors import ArgumentError, DataError, RuleError, StateError, UsageError
from slrprune.train import CheckpointWriteError, PruningTrainer, resume, run, train
from slrprune.train.checkpoint import store
from slrprune.train.rundir.history import read_history


def json_of(path):
    return json.loads(Path(path).read_text())


def lines(folder, kind):
    return [line for line in read_history(folder / "history.jsonl") if line["kind"] == kind]


def timeless(folder, kind):
    return [
        {name: value for name, value in line.items() if name not in ("time", "seconds")} for line in lines(folder, kind)
    ]


def events(folder):
    return [line["event"] for line in lines(folder, "event")]


@pytest.fixture(scope="module")
def full(configured, tmp_path_factory):
    """A whole run with all that there is: retraining, an average, a teacher."""
    folder = tmp_path_factory.mktemp("runs") / "full"
    config = configured(retrain=2, ema=0.9, distil={"weight": 0.5})
    return config, folder, run(config, folder)


def test_a_run_leaves_what_the_document_promises(full):
    _, folder, result = full
    names = {"checkpoints", "config.yaml", "environment.json", "history.jsonl", "layers.json", "histograms.json"}
    names |= {"model.safetensors", "model.slrprune", "summary.json", "dense.safetensors"}
    names |= {"after_cut.safetensors", "retraining.json"}
    assert {path.name for path in folder.iterdir()} == names
    summary = json_of(folder / "summary.json")
    assert summary == json.loads(json.dumps(result.summary))
    assert result.is_ok
    assert (summary["epochs"], summary["retrain_epochs"], summary["steps"]) == (3, 2, 30)
    assert summary["sparsity_reached"] == pytest.approx(0.5)
    assert summary["rules"] == "Global(sparsity=0.5)"
    assert all(summary[name] is not None for name in ("dense_accuracy", "accuracy_after_cut", "val_accuracy_after_cut"))
    final, sparse = weights(folder), load_sparse(folder / "model.slrprune")
    assert all(torch.equal(final[name], sparse[name]) for name in final)
    assert sum(int((final[name] == 0).sum()) for name in ("0.weight", "4.weight")) == 96
    rows = {row["name"]: row for row in json_of(folder / "layers.json")["layers"]}
    assert sum(rows[name]["nnz"] for name in ("0.weight", "4.weight")) == 96
    assert (rows["0.weight"]["macs"], rows["0.weight"]["macs_left"]) == (128, rows["0.weight"]["nnz"])
    assert rows["0.bias"]["skipped"] == "bias of Linear is not pruned by default"
    image = rows["4.weight"]["mask_image"]
    assert (image["rows"], image["columns"], len(image["density"])) == (4, 16, 64)
    histogram = json_of(folder / "histograms.json")["layers"]["0.weight"]
    assert (len(histogram["edges"]), sum(histogram["before"])) == (65, 128)
    assert sum(histogram["after"]) + histogram["zeros_after"] == 128
    again = load_config(folder / "config.yaml")
    assert (again.epochs, again.lr, again.batch_size, again.set) == (3, 0.05, 16, "global")


def test_a_tasks_further_figures_are_measured_with_its_metric(configured, tmp_path, monkeypatch):
    import run_task

    made = run_task.Detailed()
    monkeypatch.setattr(run_task, "detailed", lambda: made)
    result = run(configured(task="run_task:detailed", retrain=1), tmp_path / "run")
    assert made.passes == ["test"] * 3  # and `evaluate` refuses "test"
    found = json_of(tmp_path / "run" / "summary.json")
    assert found["details"] == result.summary["details"]
    for stage, accuracy in {"dense": "dense_accuracy"}.items() | {
        (stage, f"accuracy_{stage}") for stage in ("after_cut", "after_retraining")
    }:
        assert found["details"][stage] == {"error rate": pytest.approx(100 - found[accuracy]), "precision": None}


def test_the_further_figures_survive_a_stop(configured, tmp_path):
    config = configured(task="run_task:detailed", retrain=1)
    uncut = run(config, tmp_path / "whole").summary["details"]
    stopped(config, tmp_path / "run", 2, phase="retrain")
    assert resume(tmp_path / "run").summary["details"] == uncut


def test_a_metric_that_cannot_be_had_is_null(configured, tmp_path):
    result = run(configured(task="run_task:unknown", retrain=1), tmp_path / "run")
    found = json_of(tmp_path / "run" / "summary.json")
    assert result.is_ok
    assert result.summary == found
    names = ("dense_accuracy", "accuracy_after_cut", "val_accuracy_after_cut", "accuracy_after_retraining")
    assert [found[name] for name in names] == [None] * 4
    assert found["details"] == {"dense": {}, "after_cut": {}, "after_retraining": {}}


def test_the_history_tells_every_update_and_epoch(full):
    _, folder, _ = full
    assert [(line["epoch"], line["phase"]) for line in lines(folder, "epoch")] == [
        *((number, "prune") for number in (1, 2, 3)),
        *((number, "retrain") for number in (4, 5)),
    ]
    assert [line["step"] for line in lines(folder, "update")] == list(range(1, 19))
    assert [line["step"] for line in lines(folder, "layers")] == [6, 12, 18, 24, 30]
    (start,) = lines(folder, "start")
    assert (start["total_steps"], start["steps_per_epoch"], start["split"]) == (30, 6, "val")
    assert events(folder) == ["checkpoint", "checkpoint", "checkpoint", "cut", "checkpoint", "checkpoint"]
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == ["step-00000024", "step-00000030"]


def test_the_model_after_the_cut_is_kept_beside_the_retrained_one(configured, full, tmp_path):
    config, folder, _ = full
    kept, final = load_file(folder / "after_cut.safetensors"), weights(folder)
    assert list(kept) == list(final)
    assert not torch.equal(kept["0.weight"], final["0.weight"])
    assert torch.equal(kept["0.weight"] != 0, final["0.weight"] != 0)
    run(config.model_copy(update={"retrain": 0}), tmp_path / "short")
    assert not (tmp_path / "short" / "after_cut.safetensors").exists()
    assert not (tmp_path / "short" / "retraining.json").exists()
    short = weights(tmp_path / "short")
    assert all(torch.equal(tensor, short[name]) for name, tensor in kept.items())


def test_a_run_to_no_sparsity_is_retrained_too(configured, tmp_path):
    config = configured(sparsity=0.0, retrain=1)
    stopped(config, tmp_path / "run", 3, phase="retrain")
    summary = resume(tmp_path / "run").summary
    assert (summary["status"], summary["sparsity_reached"], summary["steps"]) == ("ok", 0.0, 24)
    run(config, tmp_path / "whole")
    assert same_weights(tmp_path / "run", tmp_path / "whole")


def test_the_retraining_has_its_own_record(full):
    _, folder, result = full
    record, summary = json_of(folder / "retraining.json"), result.summary
    assert (record["version"], record["epochs"], record["steps"], record["split"]) == (1, 2, 12, "test")
    for stage, when in (("before", "after_cut"), ("after", "after_retraining")):
        wanted = {name: summary[f"{name}_{when}"] for name in ("accuracy", "val_accuracy")}
        assert record[stage] == wanted | {"details": {}}
    ours = [line for line in lines(folder, "epoch") if line["phase"] == "retrain"]
    assert record["curve_split"] == "val"
    names = {"loss": "loss", "lr": "lr", "accuracy": "accuracy_after_cut", "seconds": "seconds"}
    assert record["curve"] == [
        {"epoch": number} | {name: line[there] for name, there in names.items()} for number, line in enumerate(ours, 1)
    ]
    assert record["curve"][-1]["accuracy"] == record["after"]["val_accuracy"]
    assert 0 < record["seconds"] < summary["seconds"]


def test_a_run_is_the_plain_loop_and_so_what_compare_does(configured, tmp_path):
    import run_task

    run(configured(), tmp_path / "run")
    task = run_task.blobs()
    model = task.build_model()
    dense = load_file(tmp_path / "run" / "dense.safetensors")
    model.load_state_dict(dense)

    def pruned(model, optimizer, steps):
        return PruningTrainer(optimizer, Pruner(model, optimizer, Global(0.5), total_steps=steps))

    train(model, task, task.pruning_recipe, trainer=pruned).trainer.finalize()
    final = weights(tmp_path / "run")
    assert all(torch.equal(tensor, final[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    ("phase", "step", "signum"),
    [
        ("prune", 9, signal.SIGINT),
        ("prune", 12, signal.SIGTERM),
        ("retrain", 4, signal.SIGINT),
        ("dense", 3, signal.SIGTERM),
    ],
)
def test_after_a_signal_the_run_goes_on_to_the_same_bits(full, tmp_path, phase, step, signum):
    config, whole, _ = full
    folder = tmp_path / "stopped"
    stop = stopped(config, folder, step, signum=signum, phase=phase)
    assert (stop.exit_code, stop.folder) == (128 + signum, folder)
    assert not (folder / "summary.json").exists()
    result = resume(folder)
    assert result.summary["resumed"] == 1
    assert same_weights(folder, whole)
    assert (folder / "dense.safetensors").read_bytes() == (whole / "dense.safetensors").read_bytes()
    for kind in ("start", "update", "epoch", "layers"):
        assert timeless(folder, kind) == timeless(whole, kind)
    if phase != "dense":
        assert [event for event in events(folder) if event in ("interrupted", "resumed")] == ["interrupted", "resumed"]


def test_signal_handlers_are_put_back(configured, tmp_path):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    stopped(configured(), tmp_path / "run", 2)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_damaged_newest_checkpoint_costs_an_epoch_and_nothing_else(full, tmp_path):
    config, whole, _ = full
    folder = tmp_path / "damaged"
    stopped(config, folder, 14)
    newest = folder / "checkpoints" / "step-00000014"
    (newest / "tensors.safetensors").write_bytes(b"nonsense")
    observer = Stopping(-1)
    resume(folder, observer=observer)
    assert same_weights(folder, whole)
    fallback = next(text for event, text in observer.notes if event == "fallback")
    assert "step-00000014" in fallback
    assert fallback.endswith("Going on from step-00000012.")
    assert "fallback" in events(folder)


def test_damage_to_every_checkpoint_is_told_and_nothing_is_lost(configured, tmp_path):
    folder = tmp_path / "run"
    stopped(configured(), folder, 14)
    for path in (folder / "checkpoints").iterdir():
        (path / "state.json").write_bytes(b"{")
    before = sorted(folder.rglob("*"))
    with pytest.raises(DataError, match="none of the 2 checkpoints can be read"):
        resume(folder)
    assert [path for path in before if not path.exists()] == []


def changed_config(folder, old, new):
    path = folder / "config.yaml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("method: slr", "method: dpf", r"method is SLR\(.*trust=3\.0.* in the state and SLR\(.*trust=None"),
        ("sparsity: 0.5", "sparsity: 0.6", "the sets differ"),
        ("epochs: 3", "epochs: 4", "total_steps is 18 in the state and 24 here"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(configured, tmp_path, old, new, sentence):
    folder = tmp_path / "run"
    stopped(configured(), folder, 8)
    changed_config(folder, old, new)
    history = (folder / "history.jsonl").read_bytes()
    with pytest.raises(StateError, match=sentence):
        resume(folder)
    assert (folder / "history.jsonl").read_bytes() == history


def test_a_checkpoint_of_another_model_is_refused(configured, tmp_path, monkeypatch):
    import run_task

    folder = tmp_path / "run"
    stopped(configured(), folder, 8)
    (folder / "dense.safetensors").unlink()  # it would be refused first
    monkeypatch.setattr(run_task, "Blobs", run_task.Wide)
    with pytest.raises(StateError, match="the state belongs to another model"):
        resume(folder)


def test_dense_weights_of_another_model_are_refused(configured, tmp_path, monkeypatch):
    import run_task

    folder = tmp_path / "run"
    stopped(configured(), folder, 8)
    monkeypatch.setattr(run_task, "Blobs", run_task.Wide)
    with pytest.raises(DataError, match=r"dense\.safetensors: the weights are of another model"):
        resume(folder)


def test_another_number_of_processes_names_the_distributed_format(configured, tmp_path):
    folder = tmp_path / "run"
    stopped(configured(), folder, 8)
    checkpoints = store.Checkpoints(folder / "checkpoints")
    state = checkpoints.newest().state
    checkpoints.save(8, state | {"processes": 2})
    with pytest.raises(StateError, match=r"written by a run on 2 processes, and 1 are running.*distributed format"):
        resume(folder)


def test_a_full_disk_is_told_and_the_run_can_go_on(configured, tmp_path, monkeypatch):
    folder, whole = tmp_path / "run", tmp_path / "whole"
    run(configured(), whole)
    write = store.write_synced

    def full(path, content):
        if "step-00000012" in str(path):
            raise OSError(28, "No space left on device")
        write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(store, "write_synced", full)
        with pytest.raises(CheckpointWriteError, match=r"No space left on device.*step-00000006, is intact"):
            run(configured(), folder)
    resume(folder)
    assert same_weights(folder, whole)


def test_a_diverged_run_says_so_and_keeps_its_last_good_state(configured, tmp_path):
    folder = tmp_path / "run"
    result = run(configured(task="run_task:poisoned"), folder)
    assert not result.is_ok
    summary = json_of(folder / "summary.json")
    assert summary["status"] == "diverged"
    assert "step 10: the loss is not finite" in summary["reason"]
    assert summary["accuracy_after_cut"] is None
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["step-00000006"]
    with pytest.raises(UsageError, match="the run has come to its end already, status 'diverged'"):
        resume(folder)


def test_a_folder_with_a_run_is_not_overwritten(full):
    config, folder, _ = full
    with pytest.raises(UsageError, match=r"the folder holds a run already.*slrprune prune --resume"):
        run(config, folder)
    with pytest.raises(UsageError, match="come to its end already, status 'ok'"):
        resume(folder)


def test_what_is_no_run_cannot_be_resumed(tmp_path):
    with pytest.raises(DataError, match=r"is no folder of a run: it holds no config\.yaml"):
        resume(tmp_path)


def test_a_task_with_nothing_to_judge_by_is_refused(configured, tmp_path):
    with pytest.raises(UsageError, match="neither a 'val' nor a 'test' split"):
        run(configured(task="run_task:no_split"), tmp_path / "run")


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"rules": {"nothing.*": "Unstructured(0.5)"}, "sparsity": None}, RuleError, "nothing"),
        ({"method_options": {"interval": 50}}, ArgumentError, r"total_steps=18\): total_steps is too short"),
    ],
)
def test_what_cannot_be_pruned_is_told_before_the_dense_training(
    configured, tmp_path, monkeypatch, fields, error, message
):
    import run_task

    monkeypatch.setattr(run_task.Blobs, "loss", lambda *_: pytest.fail("it trains"))
    with pytest.raises(error, match=message):
        run(configured(**fields), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_net_that_cannot_be_distilled_is_told_before_the_dense_training(configured, tmp_path, monkeypatch):
    import run_task

    loss = run_task.Blobs.loss
    twice = "got ['Tensor', 'Tensor']"
    monkeypatch.setattr(run_task.Blobs, "loss", lambda *args: loss(*args) + loss(*args))
    with pytest.raises(UsageError, match=re.escape(twice)):
        run(configured(distil={"weight": 0.5}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_split_that_yields_nothing_is_told_before_the_dense_training(configured, tmp_path, monkeypatch):
    import run_task

    batches = run_task.Blobs.batches
    monkeypatch.setattr(run_task.Blobs, "loss", lambda *_: pytest.fail("it trains"))
    monkeypatch.setattr(
        run_task.Blobs,
        "batches",
        lambda task, split, *rest: iter(()) if split == "test" else batches(task, split, *rest),
    )
    with pytest.raises(DataError, match="the 'test' split yields no batch"):
        run(configured(), tmp_path / "run")


def test_dense_weights_from_a_file(configured, tmp_path):
    first = run(configured(), tmp_path / "first")
    second = run(configured(dense=str(tmp_path / "first" / "dense.safetensors")), tmp_path / "second")
    assert same_weights(tmp_path / "first", tmp_path / "second")
    assert first.summary["dense_accuracy"] == second.summary["dense_accuracy"]
    with pytest.raises(DataError, match=r"nowhere\.safetensors: the dense weights cannot be read"):
        run(configured(dense=str(tmp_path / "nowhere.safetensors")), tmp_path / "third")
