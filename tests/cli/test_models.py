"""MODEL and RUN on the command line: what they stand for, and what is said where they stand for nothing."""

import json
import sys
from pathlib import Path

import pytest
import torch

from slrprune.cli.cut import cut_by_magnitude_, rules_for
from slrprune.cli.models import resolve
from slrprune.errors import DataError, MissingExtraError, RuleError, UsageError

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

def masked():
    model, example = small()
    torch.nn.utils.prune.l1_unstructured(model[2], "weight", 0.5)
    return model, example

def normed():
    model, example = small()
    torch.nn.utils.parametrizations.weight_norm(model[0])
    return model, example

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
    monkeypatch.setattr("slrprune.tasks.packages.find_spec", lambda name: None)
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
            "nowhere",
            [],
            r"no model 'nowhere'\. Name one of the tasks digits, cifar10, .*, or timm:NAME, hf:NAME, module:f",
        ),
        (
            "my_task.py",
            [],
            r"plan: my_task\.py names no function in the file\. Write .* colon: my_task\.py:make_task\.$",
        ),
        (
            "digits",
            ["fald=1"],
            r"plan: the task 'digits' has no setting 'fald'\. The closest of its settings is 'fold'",
        ),
        ("digits", ["xyz=1"], r"has no setting 'xyz'\. Its settings: fold, "),
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


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (
            "masked",
            (
                "plan: 2.weight is still masked by torch.nn.utils.prune. Make it permanent first: "
                "torch.nn.utils.prune.remove(module, 'weight')."
            ),
        ),
        (
            "normed",
            (
                "plan: 0.weight is computed by a parametrization. Remove it first: "
                "torch.nn.utils.parametrize.remove_parametrizations(module, 'weight')."
            ),
        ),
    ],
)
def test_plan_says_how_to_make_a_model_plain(slrprune, module, function, sentence):
    result = slrprune("plan", f"my_models:{function}")
    assert (result.exit_code, result.stderr) == (1, f"slrprune: {sentence}\n")


@pytest.mark.parametrize("verb", ["plan", "bench", "inspect"])
def test_errors_of_a_set_name_the_verb(slrprune, module, verb):
    assert slrprune(verb, "my_models:small", "--set", "2:5").stderr.startswith(f"slrprune: {verb}(set='2:5'): set must")
    text = slrprune(verb, "my_models:small", "--set", "filters", "--sparsity", "0.5").stderr
    problem = "no weight of Sequential fits the set filters, for example 0.weight: the set filters is for convolutions"
    assert text == f"slrprune: {verb}: {problem}. Take another set.\n"


def test_models_of_transformers_from_a_folder(module):
    transformers = pytest.importorskip("transformers")
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    configs = {
        "bert": transformers.BertConfig(vocab_size=30, architectures=["BertForMaskedLM"], **small),
        "vit": transformers.ViTConfig(image_size=8, patch_size=4, **small),
        "t5": transformers.T5Config(
            vocab_size=30, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2, decoder_start_token_id=0
        ),
    }
    classes = {"bert": transformers.BertForMaskedLM, "vit": transformers.ViTModel, "t5": transformers.T5Model}
    for name, config in configs.items():
        classes[name](config).save_pretrained(name)
        subject = resolve(f"hf:{name}", [], None, "plan")
        assert type(subject.model) is classes[name]
        with torch.no_grad():
            subject.model(**subject.example_inputs)
    assert {name: tuple(tensor.shape) for name, tensor in subject.example_inputs.items()} == {
        "input_ids": (1, 16),
        "decoder_input_ids": (1, 16),
    }
    with pytest.raises(UsageError, match=r"plan: --data and --option are settings of tasks\. 'hf:bert' is none"):
        resolve("hf:bert", ["a=1"], None, "plan")


def test_what_transformers_cannot_load_is_a_sentence(module, monkeypatch):
    pytest.importorskip("transformers")
    Path("empty").mkdir()
    with pytest.raises(
        DataError, match=r"hf:empty: transformers finds no model it can load \(.*\)\. Give a name on the"
    ):
        resolve("hf:empty", [], None, "plan")
    monkeypatch.setattr("slrprune.cli.hub_models.importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"plan hf:x needs transformers\. Install .*slrprune\[transformers\]"):
        resolve("hf:x", [], None, "plan")
