"""`slrprune.analysis.sensitivity`, against cuts made by hand."""

import copy

import blobs
import pytest
import torch

from slrprune import NM, Global, Unstructured
from slrprune.analysis import LayerCurve, sensitivity
from slrprune.errors import ArgumentError, ShapeError, UsageError


@pytest.fixture
def task():
    return blobs.Blobs()


def test_each_accuracy_is_that_of_a_cut_of_this_layer_alone(task):
    model = task.build_model()
    before = copy.deepcopy(model.state_dict())
    found = sensitivity(task, model, {"half": Unstructured(0.5), "first": {"0": Unstructured(0.75)}}, split="test")
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert [curve.name for curve in found.curves] == ["0.weight", "3.weight"]
    assert found.dense == task.evaluate(model, "test")
    assert found.curves[1].accuracy[1] is None
    assert found.curves[1].sparsity == (0.5, None)
    for curve, position in zip(found.curves, (0, 3), strict=True):
        cut = copy.deepcopy(model)
        cut[position].weight.data = Unstructured(0.5).project(cut[position].weight)
        assert curve.accuracy[0] == task.evaluate(cut, "test")


def test_a_shared_budget_is_applied_to_each_layer_alone(task):
    model = task.build_model()
    alone, shared = (sensitivity(task, model, {"x": each(0.5)}).curves for each in (Unstructured, Global))
    assert alone == shared


@pytest.mark.parametrize(
    ("budget", "sparsities"),
    [
        (Global(params=96), [0.25, 0.0]),  # of 128 and 64 weights
        (Global(params=64), [0.5, 0.0]),
        (Global(bytes=16 + 4 * 96), [0.25, 0.0]),
        (Global(macs=3 * 96, example_input=torch.ones(3, 8)), [0.25, 0.0]),
        (Global(params=150), [0.0, 0.0]),
        (Global(params=32), [0.75, 0.5]),
    ],
)
def test_a_budget_that_pays_for_all_of_a_layer_leaves_it_whole(task, budget, sparsities):
    model = task.build_model()
    found = sensitivity(task, model, {"x": budget})
    assert [curve.sparsity[0] for curve in found.curves] == sparsities
    for curve, sparsity in zip(found.curves, sparsities, strict=True):
        (same,) = sensitivity(task, model, {"x": {curve.name: Unstructured(sparsity)}}).curves
        assert curve == same
        assert sparsity or curve.accuracy == (found.dense,)


def test_the_weights_come_back_where_the_evaluation_fails(task, monkeypatch):
    model = task.build_model()
    before = copy.deepcopy(model.state_dict())
    answers = iter([50.0])

    def evaluate(model, split):
        return next(answers)

    monkeypatch.setattr(task, "evaluate", evaluate)
    with pytest.raises(StopIteration):
        sensitivity(task, model, {"x": Unstructured(0.9)})
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_layers_are_announced(task):
    said = []
    sensitivity(task, task.build_model(), {"x": Unstructured(0.5)}, on_layer=lambda *values: said.append(values))
    assert said == [("0.weight", 1, 2), ("3.weight", 2, 2)]


def test_what_a_layer_bears_ends_at_the_first_loss():
    curve = LayerCurve("a", (4,), 4, (99.5, 97.0, 99.0, None), (0.25, 0.5, 0.75, None))
    assert [curve.bears(100.0, drop) for drop in (0.1, 1.0, 3.0)] == [0, 1, 3]
    assert LayerCurve("a", (4,), 4, (float("nan"),), (0.5,)).bears(100.0, 100.0) == 0


def test_mistakes(task, monkeypatch):
    with pytest.raises(ArgumentError, match=r"sensitivity\(levels=\{\}\): levels must hold at least one"):
        sensitivity(task, task.build_model(), {})
    with pytest.raises(UsageError, match="there is no 'val' split"):
        sensitivity(blobs.Blobs(has_val=False), task.build_model(), {"x": Unstructured(0.5)})
    monkeypatch.setattr(task, "evaluate", lambda *_: pytest.fail("it evaluates"))
    with pytest.raises(
        ArgumentError, match=r"Global\(bytes=15\): bytes must be from 20 \(one weight of every tensor\)"
    ):
        sensitivity(task, task.build_model(), {"x": Unstructured(0.5), "y": Global(bytes=15)})
    with pytest.raises(ShapeError, match=r"^3\.weight: NM\(2, 32\) needs"):
        sensitivity(task, task.build_model(), {"x": {"3": NM(2, 32)}})
