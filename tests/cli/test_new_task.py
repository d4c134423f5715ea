"""`slrprune new-task`: the template runs as it is, and no file is lost."""

import json
from pathlib import Path

import pytest

QUICK = ("--methods", "slr", "one_shot", "--sparsity", "0.5", "--seeds", "1", "--epochs", "1")


def test_the_template_runs_as_it_is(slrprune):
    result = slrprune("new-task")
    assert result.exit_code == 0
    printed = [line.strip() for line in result.stdout.splitlines()[1:]]
    page = (Path(__file__).resolve().parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
    assert "\n".join(["```console", "slrprune new-task my_task.py", *printed, "```"]) in page
    assert printed[-1] == "slrprune prune my_task.py:make_task"
    assert 35 <= len(Path("my_task.py").read_text().splitlines()) <= 55
    found = json.loads(slrprune("inspect", "my_task.py:make_task", "--json").stdout)
    assert found["pruned_numel"] == 19456
    curves = json.loads(slrprune("sensitivity", "my_task.py:make_task", "--sparsity", "0.9", "--json").stdout)["curves"]
    assert [curve["name"] for curve in curves] == ["0.weight", "2.weight", "4.weight"]
    compared = slrprune("compare", "my_task:make_task", *QUICK, "--workers", "1", "--json")
    assert compared.exit_code == 0
    assert {record["task"] for record in json.loads(compared.stdout)["records"]} == {"my_task"}
    assert len(list(Path("runs/my_task/dense").glob("*.safetensors"))) == 1  # of sensitivity, used by compare


@pytest.mark.slow
def test_the_template_runs_in_several_processes(slrprune):
    slrprune("new-task", "deep/my_own.py")
    result = slrprune("compare", "deep/my_own.py:make_task", *QUICK, "--workers", "2", "--json")
    assert result.exit_code == 0
    assert len(json.loads(result.stdout)["records"]) == 2


def test_settings_are_arguments_of_the_function(slrprune):
    slrprune("new-task")
    plain, noisy = (
        json.loads(slrprune("sensitivity", "my_task.py:make_task", "--sparsity", "0.5", *more, "--json").stdout)
        for more in ((), ("--option", "noise=4"))
    )
    assert noisy["dense"] < plain["dense"] - 10
    result = slrprune("inspect", "my_task.py:make_task", "--option", "noose=4")
    assert "inspect: my_task.py:make_task has no setting 'noose'. The closest is 'noise'." in result.stderr
    result = slrprune("inspect", "my_task.py:make_task", "--option", "fold=4")
    assert "inspect: my_task.py:make_task has no setting 'fold'. Its settings: noise, device." in result.stderr


def test_no_file_is_overwritten(slrprune):
    Path("mine.py").write_text("precious")
    result = slrprune("new-task", "mine.py")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "new-task: mine.py is there already. Give another name; nothing was written." in result.stderr
    assert Path("mine.py").read_text() == "precious"
    assert "my-task.py can be no Python module. Take a name such as" in slrprune("new-task", "my-task.py").stderr


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("nothing.py:make_task", "there is no file 'nothing.py'. Write one with: slrprune new-task."),
        ("random.py:make_task", "random.py has the name of another module, 'random'. Rename the file."),
        ("my_task.py:make", "'my_task.py' has no function 'make'. Closest: make_task, "),
        ("timm:resnet18", "timm:resnet18 is a model without data. Return it from a task of your own, with its data"),
        ("bad.py:make", "bad.py:make returned a int. It must return a slrprune.tasks.Task: slrprune new-task writes"),
        ("my_task.py", "my_task.py names no function in the file. Write it behind a colon: my_task.py:make_task."),
        ("nowhere", "there is no task 'nowhere'. Built in are digits, "),
        ("blob", "there is no task 'blob'. Did you mean 'blobs'? Built in are digits, "),
    ],
)
def test_what_is_no_task_is_refused(slrprune, name, sentence):
    slrprune("new-task")
    Path("random.py").write_text("def make_task(): pass")
    Path("bad.py").write_text("def make(): return 7")
    result = slrprune("sensitivity", name)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"slrprune: sensitivity: {sentence}")
