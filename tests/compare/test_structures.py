"""Sets by name, for the weights that fit them."""

from pathlib import Path

import pytest
from torch import nn

from slrprune.compare import Plan, compare, find, targets
from slrprune.compare.extras import NAMED
from slrprune.errors import ArgumentError, UsageError
from slrprune.sets import NM, Block, Channel, KernelPattern
from slrprune.structures import STRUCTURES
from slrprune.tasks import Digits


@pytest.fixture
def net():
    """Three input channels, a 1x1 convolution, a classifier with 10 rows."""
    convolutions = [nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.Conv2d(16, 8, 1)]
    return nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(8, 10))


@pytest.mark.parametrize(
    ("name", "sparsity", "label", "constraint", "fitting"),
    [
        ("filters", 0.5, "filters-50%", Channel(0.5), ["0.weight", "2.weight"]),
        ("blocks-4x1", 0.9, "blocks-4x1-90%", Block((4, 1), 0.9), ["0.weight", "2.weight"]),
        ("2:4", None, "2-4", NM(2, 4), ["2.weight", "4.weight"]),
        ("kernel-patterns", None, "kernel-patterns", KernelPattern(), ["0.weight"]),
    ],
)
def test_what_does_not_fit_stays_dense(net, name, sparsity, label, constraint, fitting):
    (target,) = targets(name, () if sparsity is None else (sparsity,), net)
    assert (target.label, target.sparsity) == (label, sparsity)
    assert target.rules == dict.fromkeys(fitting, constraint)


def test_the_default_is_one_global_budget(net):
    assert [target.settings for target in targets("global", (0.5, 0.9), net)] == [
        "Global(sparsity=0.5)",
        "Global(sparsity=0.9)",
    ]


def test_several_levels_of_one_set(net):
    assert [t.label for t in targets("columns", (0.25, 0.5), net)] == ["columns-25%", "columns-50%"]


def test_weights_stored_transposed_are_looked_at_the_right_way():
    net = nn.Sequential(nn.ConvTranspose2d(3, 4, 3))  # stored as (in, out, ...): 4 outputs, 3 inputs
    (target,) = targets("blocks-4x1", (0.5,), net)
    assert list(target.rules) == ["0.weight"]
    with pytest.raises(
        UsageError, match=r"no weight of Sequential fits the set 2:4, for .* 0\.weight: NM\(2, 4\) needs"
    ):
        targets("2:4", (), net)


def test_where_nothing_fits_the_reason_is_told():
    linear = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))  # its rows would fit a Channel
    sentence = (
        r"no weight of Sequential fits the set filters, for example 0\.weight: the set filters is for convolutions\."
    )
    with pytest.raises(UsageError, match=rf"^compare: {sentence} Take another set\.$"):
        targets("filters", (0.5,), linear)
    with pytest.raises(UsageError, match=r"^prune: no weight of ReLU is pruned by default\. Rules may name others\.$"):
        targets("filters", (0.5,), nn.ReLU(), "prune")


def test_a_level_that_is_missing_or_one_too_many_is_refused(net):
    with pytest.raises(ArgumentError, match=r"sparsity must be given \(set filters\)"):
        targets("filters", (), net)
    with pytest.raises(ArgumentError, match=r"sparsity must not be given: the pattern owns its level \(set 2:4\)"):
        targets("2:4", (0.5,), net)
    with pytest.raises(ArgumentError, match=r"set='nm'\): set must be one of global, unstructured, filters, columns"):
        targets("nm", (), net)


@pytest.mark.parametrize("structure", STRUCTURES, ids=lambda structure: structure.name)
def test_a_run_reaches_every_structure(structure, tmp_path):
    task = Digits(batch_size=256)
    task.dense_recipe = task.pruning_recipe = type(task.pruning_recipe)(epochs=1, lr=0.01)
    levels = () if structure.owns_level else (0.5,)
    found = targets(structure.name, levels, task.build_model())
    (record,) = compare(task, Plan(find(["one_shot"]), found, 1, (0,)), tmp_path)
    expected = 5 / 9 if structure.name == "kernel-patterns" else 0.5
    assert record.sparsity_reached == pytest.approx(expected, abs=2e-3)


def test_filters_that_go_are_zero_as_a_whole():
    model = Digits().build_model()
    (target,) = targets("filters", (0.5,), model)
    for name, constraint in target.rules.items():
        weight = constraint.project(model.get_parameter(name))
        assert int((weight.flatten(1) == 0).all(1).sum()) == len(weight) // 2
    assert "linear.weight" not in target.rules


def test_the_page_names_every_set_and_every_extra():
    page = (Path(__file__).resolve().parents[2] / "docs" / "compare.md").read_text(encoding="utf-8")
    for structure in STRUCTURES:
        level = "owned by the pattern" if structure.owns_level else "given"
        assert f"| `{structure.name}` | {structure.description} | {level} |" in page
    for name in NAMED:
        assert f"+{name}` |" in page
