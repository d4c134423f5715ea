"""`slrprune prune` and `slrprune validate` on a tiny task."""

import json
import os
import re
import signal
from pathlib import Path

import pytest

from slrprune.tasks import task_class

pytest.importorskip("accelerate", reason="runs need accelerate, of the extra train")

QUICK = ("--set", "tracker=none", "--set", "latency=false", "--set", "report=false", "--set", "device=cpu")


def test_a_run_ends_with_its_figures_and_its_folder(slrprune):
    result = slrprune("prune", "blobs", "--sparsity", "0.5", "--retrain", "1", "--out", "run", *QUICK)
    assert result.exit_code == 0, result.stderr
    first, second, *_ = result.stdout.splitlines()
    assert first.startswith("accuracy on the test split: ")
    assert "% after the cut, " in first
    assert first.endswith("% after 1 epochs of retraining")
    assert second.startswith("sparsity 50.00% of the pruned weights, 2.0x; ")
    assert result.stdout.splitlines()[-1] == "The run: run"
    assert "pruning, epoch 4/4: loss " in result.stderr
    assert "% after the cut" in result.stderr
    assert json.loads(Path("run/summary.json").read_text())["command"].startswith("slrprune")


def test_json_holds_the_summary(slrprune):
    result = slrprune("prune", "blobs", "--sparsity", "0.5", "--epochs", "2", "--out", "run", "--json", *QUICK)
    found = json.loads(result.stdout)
    assert (found["folder"], found["status"], found["epochs"]) == ("run", "ok", 2)


def test_strict_is_a_setting_of_the_task(slrprune):
    from slrprune.cli.prune import _configured

    Path("run.yaml").write_text("task: graph\ntask_options: {hidden: 4}\n")
    assert _configured(None, Path("run.yaml"), [], {}, True).task_options == {"hidden": 4, "strict": True}
    assert _configured("graph", None, [], {}, False).task_options == {}
    assert _configured("cifar10", None, [], {}, True).task_options == {}  # refuses bad files in any case
    Path("mine.py").write_text("def make(noise=1.0):\n    raise AssertionError\n")
    refused = slrprune("prune", "mine.py:make", "--strict", "--out", "run", *QUICK)
    assert refused.exit_code == 1
    assert "prune --strict: mine.py:make takes no argument 'strict'. Give it one that says whether" in refused.stderr
    assert not Path("run").exists()
    refused = slrprune("prune", "--resume", "run", "--strict")
    assert "--resume goes on as the run began, and --strict would change it" in refused.stderr


def test_settings_of_the_task_are_given_as_to_every_verb(slrprune):
    from slrprune.cli.prune import _as_overrides, _configured

    Path("here.pt").touch()
    Path("run.yaml").write_text("task: blobs\ntask_options: {noise: 2.0, data: there}\n")
    written = ["noise=1e-3", "data=here.pt", "a=null", "b=None", "c=True", "d=[1, 2]", "e=yes", "f=x: y"]
    meant = {"noise": 1e-3, "data": "here.pt", "a": None, "b": None, "c": True, "d": [1, 2], "e": "yes", "f": "x: y"}
    options = _configured("mine.py:make", None, _as_overrides(written), {}, False).task_options
    assert options == meant
    assert _configured(None, Path("run.yaml"), _as_overrides(["noise=0.25"]), {}, False).task_options == {
        "noise": 0.25,
        "data": "there",
    }
    result = slrprune("prune", "blobs", "--option", "noise=0.25", "--epochs", "1", "--out", "run", "--json", *QUICK)
    assert result.exit_code == 0, result.stderr
    assert "noise: 0.25" in Path("run/config.yaml").read_text()
    for arguments, sentence in (
        (("blobs", "--option", "nose=1"), "task_options.nose = 1: is no setting of blobs, which has noise, data"),
        (("blobs", "--option", "noise"), "prune(option='noise'): option must have the form name=value."),
        (("--resume", "run", "--option", "noise=1"), "--resume goes on as the run began, and --option would change it"),
    ):
        result = slrprune("prune", *arguments)
        assert result.exit_code == 1
        assert sentence in result.stderr


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_with_its_code_and_the_command_that_goes_on(slrprune, monkeypatch, signum):
    blobs = task_class("blobs")
    loss, calls = blobs.loss, []

    def counted(self, model, batch):
        calls.append(None)
        if len(calls) == 40:  # 24 steps of dense training come first
            os.kill(os.getpid(), signum)
        return loss(self, model, batch)

    monkeypatch.setattr(blobs, "loss", counted)
    stopped = slrprune("prune", "blobs", "--sparsity", "0.5", "--out", "run", *QUICK)
    assert stopped.exit_code == 128 + signum
    assert "Stopped, and saved. Go on with: slrprune prune --resume run" in stopped.stderr
    result = slrprune("prune", "--resume", "run")
    assert result.exit_code == 0, result.stderr
    assert "Going on from step-00000016." in result.stderr
    assert json.loads(Path("run/summary.json").read_text())["resumed"] == 1
    again = slrprune("prune", "--resume", "run")
    assert again.exit_code == 1
    assert "the run has come to its end already" in again.stderr


def test_a_diverged_run_ends_with_1_and_says_why(slrprune):
    result = slrprune("prune", "blobs", "--set", "lr=1e30", "--out", "run", *QUICK)
    assert result.exit_code == 1
    assert result.stdout.startswith("Diverged: ")
    assert json.loads(Path("run/summary.json").read_text())["status"] == "diverged"


def test_five_mistakes_of_a_file_are_told_at_once(slrprune):
    Path("run.yaml").write_text("task: blobz\nsparsity: 2\nepochs: 0\nmethode: slr\nprecision: fp8\n")
    for verb in (("validate", "run.yaml"), ("prune", "--config", "run.yaml")):
        result = slrprune(*verb)
        assert result.exit_code == 1
        lines = result.stderr.splitlines()
        assert lines[0] == "slrprune: run.yaml: 5 mistakes."
        assert [line.split(":")[0].strip() for line in lines[1:]] == [f"line {number}" for number in (1, 2, 3, 4, 5)]
    found = json.loads(slrprune("validate", "run.yaml", "--json").stdout)
    assert [problem["field"] for problem in found["problems"]] == ["task", "sparsity", "epochs", "methode", "precision"]


def test_the_mistakes_in_the_document_are_what_is_said(slrprune):
    document = (Path(__file__).resolve().parents[2] / "docs" / "run.md").read_text()
    shown = re.search(r"```text\n(slrprune: run\.yaml: .*?)```", document, re.DOTALL)[1]
    lines = ["task: digitz", "method: slr", "epochs: 20", "sparsity: 1.5", "retrain: 2", "lr: 0.05"]
    lines += ["distil:", "  weight: 0.9", "  temprature: 3"]
    Path("run.yaml").write_text("\n".join(lines))
    assert slrprune("validate", "run.yaml").stderr.replace(", blobs", "") == shown


def test_a_file_without_mistakes_is_said_to_be_one(slrprune):
    Path("run.yaml").write_text("task: blobs\n")
    result = slrprune("validate", "run.yaml")
    assert (result.exit_code, result.stdout) == (0, "run.yaml: no mistakes.\n")
    assert json.loads(slrprune("validate", "run.yaml", "--json").stdout)["config"]["method"] == "slr"


def test_the_schema_is_printed(slrprune):
    assert "sparsity" in json.loads(slrprune("validate", "--schema").stdout)["properties"]


def test_what_cannot_be_meant_is_refused(slrprune):
    Path("run.yaml").write_text("task: blobs\n")
    for arguments, sentence in (
        (("prune", "--resume", "run", "--epochs", "3"), "--epochs"),
        (("prune", "blobs", "--resume", "run"), "--resume goes on as the run began, and TASK would change it"),
        (("prune", "--resume", "run", "--seed", "0", "--sparsity", "0"), "and --sparsity, --seed would change it"),
        (("prune", "--resume", "run", "--retrain", "0"), "and --retrain would change it"),
        (("prune", "--resume", "nowhere"), "is no folder of a run: it holds no config.yaml"),
        (("validate",), "no configuration was named"),
        (("validate", "nowhere.yaml"), "the configuration cannot be read"),
    ):
        result = slrprune(*arguments)
        assert result.exit_code == 1
        assert sentence in result.stderr
