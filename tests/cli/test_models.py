"""MODEL and RUN on the command line: what they stand for, and what is said where they stand for nothing."""

import json
import sys
from pathlib import Path

import pytest
import torch

from slrprune.cli.cut import cut_by_magnitude_, rules_for
from slrprune.cli.models import resolve
from slrprune.errors import MissingExtraError, RuleError, UsageError

MINE = """
import torch
from torch import nn
from slrprune.tasks import Digits

def small():
    return nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 8)), torch.randn(1, 32)

def sparse():
    model, example = small()
    model[0].weight.data[:, ::2] = 0
    return model, example

def task():
    return Digits(fold=1)

def nothing():
    return 7

number = 3
"""


@pytest.fixture
def module(monkeypatch, tmp_path):
    """A module of the user's own in the present folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    Path("my_models.py").write_text(MINE)
    yield "my_models"
    sys.modules.pop("my_models", None)


def test_a_function_of_the_users_own_gives_the_model(module):
    subject = resolve("my_models:small", [], None, "bench")
    assert subject.model(subject.example_inputs).shape == (1, 8)
    assert not any(layer.training for layer in subject.model.modules())
    again = resolve("my_models:small", [], None, "bench")
    assert torch.equal(subject.model[0].weight, again.model[0].weight)  # drawn with a seed
    assert torch.equal(subject.example_inputs, again.example_inputs)


def test_a_task_gives_the_model(module):
    pytest.importorskip("sklearn")
    assert resolve("digits", ["fold=2"], None, "bench").example_inputs.shape == (1, 1, 8, 8)
    assert type(resolve("my_models:task", [], None, "bench").model).__name__ == "DigitsCNN"


def test_timm_models_by_name(monkeypatch):
    pytest.importorskip("timm")
    subject = resolve("timm:resnet10t", [], None, "bench")
    assert subject.example_inputs.shape == (1, 3, 176, 176)
    with torch.no_grad():
        assert subject.model(subject.example_inputs).shape == (1, 1000)
    norms = [layer.weight for layer in subject.model.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    assert all(bool((weight == 1).all()) for weight in norms)  # timm starts some of them at zero
    with pytest.raises(UsageError, match=r"bench: timm has no model 'resnet181'\. Closest: .*resnet18"):
        resolve("timm:resnet181", [], None, "bench")
    monkeypatch.setattr("slrprune.cli.models.importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"bench timm:x needs timm\. Install .*slrprune\[timm\]"):
        resolve("timm:x", [], None, "bench")


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        (
            "digit",
            [],
            r"plan: there is no model 'digit'\. The closest task is 'digits'; or name timm:NAME, hf:NAME",
        ),
        (
            "digits",
            ["fald=1"],
            r"plan: the task 'digits' has no setting 'fald'\. The closest of its settings is 'fold'",
        ),
        ("timm:x", ["fold=1"], r"plan: --data and --option are settings of tasks\. 'timm:x' is none; leave them out"),
        ("no_module:f", [], r"plan: the module 'no_module' cannot be imported \(No module named 'no_module'\)"),
        ("my_models:smal", [], r"plan: 'my_models' has no function 'smal'\. Closest: small, "),
        ("my_models:number", [], r"plan: 'my_models' has no function 'number'"),
        ("my_models:nothing", [], r"plan: my_models:nothing returned a int\. It must return \(model, example_inputs\)"),
    ],
)
def test_what_is_no_model_is_refused_with_the_closest_name(module, name, options, sentence):
    with pytest.raises(UsageError, match=sentence):
        resolve(name, options, None, "plan")


def test_the_cut_follows_the_rules():
    model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.Linear(64, 64), torch.nn.Linear(64, 8))
    cut_by_magnitude_(model, rules_for(model, "unstructured", 0.75, ["2"], "bench"))
    zeros = [int((layer.weight == 0).sum()) for layer in model]
    assert zeros == [3072, 3072, 0]
    smallest_kept = model[0].weight[model[0].weight != 0].abs().min()
    assert smallest_kept > 0.05  # of values spread evenly over [-1/8, 1/8]
    cut_by_magnitude_(model, rules_for(model, "global", 0.9, ["2"], "bench"))
    assert sum(int((layer.weight == 0).sum()) for layer in model) == round(0.9 * 2 * 4096)
    cut_by_magnitude_(model, rules_for(model, "2:4", 0.9, [], "bench"))
    assert int((model[2].weight == 0).sum()) == 256
    with pytest.raises(RuleError, match="matches no parameter"):
        cut_by_magnitude_(model, rules_for(model, "global", 0.9, ["9"], "bench"))


def test_bench_measures_the_zeros_that_are_there_or_cuts(slrprune, module):
    found = json.loads(slrprune("bench", "my_models:sparse", "--threads", "1", "--json").stdout)
    assert found["model"] == "my_models:sparse, with the zeros it has"
    assert [row["sparsity"] for row in found["rows"]] == [0.5, 0.0]
    assert found["chosen"] in found["totals"]
    assert found["choices"]["layout"] in ("contiguous", "channels_last")  # as in a file of Choices
    assert found["speedup"] >= 1  # of the same medians that decided
    result = slrprune("bench", "my_models:small", "--threads", "1")
    assert result.exit_code == 0
    assert result.stdout.startswith("my_models:small, cut by magnitude (unstructured, 0.9)\nlayer")
    assert "Outputs differ by" in result.stdout


def test_plan_says_what_to_expect(slrprune, module):
    found = json.loads(slrprune("plan", "my_models:small", "--sparsity", "0.75", "--threads", "1", "--json").stdout)
    assert [row["name"] for row in found["rows"]] == ["0.weight", "2.weight"]
    result = slrprune("plan", "my_models:small", "--set", "2:4", "--threads", "1")
    assert result.exit_code == 0
    assert "multiply-accumulates" in result.stdout
    result = slrprune("plan", "my_models:small", "--set", "2:5")
    assert result.exit_code == 1
    assert "must be one of global, unstructured" in result.stderr
