"""`slrprune inspect`: which rule prunes what, and why the rest stays dense."""

import json
from pathlib import Path

import pytest

MINE = """
import torch
from torch import nn
from torch.nn.utils import prune

def net():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(32, 4))
    model[2].weight.requires_grad_(False)
    return model, torch.randn(1, 3, 6, 6)

def masked():
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    prune.l1_unstructured(model[0], "weight", 0.5)
    return model, torch.randn(1, 8)
"""


@pytest.fixture
def inspect(slrprune):
    Path("mine.py").write_text(MINE)
    return lambda function, *arguments: slrprune("inspect", f"mine.py:{function}", *arguments)


def test_the_first_rule_that_matches_decides(inspect):
    rules = ("--rule", "0=Unstructured(0.5)", "4=null", "--rule", "*=NM(2, 4)", "--json")
    found = json.loads(inspect("net", *rules).stdout)
    rows = {row["name"]: row for row in found["parameters"]}
    assert (rows["0.weight"]["rule"], rows["0.weight"]["constraint"]) == ("0", "Unstructured(sparsity=0.5)")
    assert (rows["0.weight"]["nonzeros"], rows["0.weight"]["sparsity"]) == (108, 0.5)
    assert rows["4.weight"]["reason"] == "rule '4': None"
    assert rows["2.weight"]["reason"] == "is frozen (requires_grad is False)"
    assert rows["1.weight"]["reason"] == "weight of BatchNorm2d is not pruned by default"
    assert [row["is_pruned"] for row in rows.values()] == [True, *[False] * 7]
    assert (found["numel"], found["pruned_numel"], found["pruned_nonzeros"]) == (956, 216, 108)


def test_one_set_for_what_fits_it(inspect):
    text = inspect("net", "--set", "2:4", "--dense", "nothing").stderr
    assert "rule 'nothing': matches no parameter" in text
    text = inspect("net", "--set", "2:4").stdout
    assert "NM(2, 4) needs shape[1] divisible by 4, got shape (8, 3, 3, 3)  0.weight" in text
    assert "128 of 956 parameters are pruned, in 1 tensors; 64 become zero: 50.0% of them, 6.7% of all." in text
    found = json.loads(inspect("net", "--set", "unstructured", "--dense", "4", "--json").stdout)
    rows = {row["name"]: row for row in found["parameters"]}
    assert (rows["0.weight"]["rule"], rows["4.weight"]["reason"]) == ("--set unstructured", "--dense 4")


def test_what_cannot_be_pruned_as_it_stands_is_told(inspect):
    found = json.loads(inspect("masked", "--set", "unstructured", "--json").stdout)
    reasons = {row["name"]: row["reason"] for row in found["parameters"]}
    assert reasons["0.weight_orig"].startswith("is what a hook (prune, weight_norm, spectral_norm) makes weight from")
    assert reasons["1.weight"] == ""


def test_a_shared_budget_comes_with_a_word_of_caution(inspect):
    text = inspect("net").stdout
    assert "Global(sparsity=0.9)" in text
    assert text.splitlines()[-1].startswith("How a shared budget is spread over the layers is shown for the weights")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--rule", "0"), "inspect(rule='0'): rule must have the form pattern=SET."),
        (("--rule", "=NM(2, 4)"), "inspect(rule='=NM(2, 4)'): rule must have the form pattern=SET."),
        (("--rule", "0=NN(2, 4)"), "inspect(rule='0=NN(2, 4)'): rule has a set that has no NN: must be one of Block, "),
        (("--rule", "re:(?=0).*=Block(2)"), "inspect(rule='re:(?=0).*=Block(2)'): rule has a set that is refused: "),
        (("--rule", "0=Channel(0.5) & 3"), "inspect(rule='0=Channel(0.5) & 3'): rule has a set that is refused: "),
        (("--rule", "0=NM(2, 4, dim='x')"), "inspect(rule=\"0=NM(2, 4, dim='x')\"): rule has a set that is refused: "),
        (("--rule", "0=NM({[]: 1}, 4)"), "inspect(rule='0=NM({[]: 1}, 4)'): rule has a set that may hold calls such"),
        (("--rule", "0=0.9"), "inspect(rule='0=0.9'): rule has a set that must be written as NM(2, 4), or null."),
        (("--rule", "9=NM(2, 4)"), "rule '9': matches no parameter."),
        (("--rule", "0=null", "0=null"), "inspect: there are two rules for '0'. The first would win; leave one out."),
        (("--rule", "0=null", "--set", "2:4"), "inspect: --rule excludes --set, --sparsity and --dense."),
        (("--set", "2:5"), "inspect(set='2:5'): set must be one of global, unstructured, filters, "),
        (("--set", "kernel-patterns", "--option", "a=1"), "inspect: mine.py:net has no setting 'a'. It takes none."),
    ],
)
def test_mistakes_are_told_in_a_sentence(inspect, arguments, sentence):
    result = inspect("net", *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"slrprune: {sentence}")


def test_an_equals_sign_in_a_regular_expression(inspect):
    found = json.loads(inspect("net", "--rule", "re:(?=4).*=Unstructured(sparsity=0.25)", "--json").stdout)
    assert [row["name"] for row in found["parameters"] if row["is_pruned"]] == ["4.weight"]
