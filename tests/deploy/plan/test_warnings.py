"""Warnings in plain words, each where it applies and not elsewhere; what plan refuses."""

import pytest
import torch
from torch import nn

import slrprune as slr
from slrprune.deploy import kernels
from slrprune.deploy.plan import plan
from slrprune.errors import ArgumentError, RuleError, ShapeError, UsageError

X = torch.randn(1, 64, generator=torch.Generator().manual_seed(0))
NOTHING_ELSEWHERE = "give nothing in ONNX Runtime, OpenVINO or plain torch: use Channel and shrink there, or accelerate"


@pytest.fixture
def model():
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32))


def test_scattered_zeros(model, invented, needs_kernels):
    warnings = plan(model, slr.Unstructured(0.9), X, timer=invented()).warnings
    assert [warning for warning in warnings if NOTHING_ELSEWHERE in warning] == list(warnings)
    assert warnings[0].startswith("zeros of Unstructured give nothing")


def test_every_warning_is_in_the_text(model, invented):
    report = plan(model, slr.Unstructured(0.1), X, timer=invented())
    assert len(report.warnings) > 1
    assert all(f"Warning: {warning}" in str(report).splitlines() for warning in report.warnings)


def test_n_m_on_a_cpu(model, invented, needs_kernels):
    warnings = plan(model, slr.NM(2, 4), X, timer=invented()).warnings
    (warning,) = (warning for warning in warnings if "on a CPU" in warning)
    assert "no faster than scattered zeros of the same number (4.00x on the layers concerned)" in warning
    assert "NM(2, 4) is for linear layers in half precision on CUDA" in warning


def test_zeros_that_do_not_pay(model, invented, needs_kernels):
    rules = {"0": slr.Unstructured(0.9), "2": slr.Unstructured(0.5)}
    slow = invented(**{"sparse kernel": 1.5, "accelerated, contiguous": 1.0})
    warnings = plan(model, rules, X, timer=slow).warnings
    assert "0.weight, 2.weight: the zeros do not pay here, the layer stays dense" in "\n".join(warnings)
    assert "in all, these rules make the model no faster here (1.00x)." in warnings
    assert not any("do not pay" in warning for warning in plan(model, rules, X, timer=invented()).warnings)


def test_zeros_below_what_is_tried(model, invented, needs_kernels):
    rules = {"0": slr.Unstructured(0.9), "2": slr.Unstructured(0.2)}
    warnings = "\n".join(plan(model, rules, X, timer=invented()).warnings)
    assert (
        "2.weight: dense: 20% zeros: below 40% skipping them is not worth it, so its zeros give no speed." in warnings
    )


def test_a_file_that_hardly_shrinks(model, invented):
    warnings = "\n".join(plan(model, {"0": slr.Unstructured(0.2), "2": None}, X, timer=invented()).warnings)
    assert "the file hardly gets smaller (0.99x): too few of all weights are zero." in warnings
    assert "the file" not in "\n".join(plan(model, slr.Unstructured(0.9), X, timer=invented()).warnings)


def test_no_kernels(model, invented, monkeypatch):
    monkeypatch.setattr(kernels, "is_available", lambda: False)
    monkeypatch.setattr(kernels, "why_unavailable", lambda: "there is no compiler")
    warnings = plan(model, slr.Unstructured(0.9), X, timer=invented()).warnings
    expected = "the sparse kernels are not available, so scattered zeros give no speed: there is no compiler."
    assert warnings.count(expected) == 1
    assert "in all, these rules make the model no faster here (1.00x)." in warnings


def test_whole_channels_and_shrink(model, invented):
    pytest.importorskip("torch_pruning")
    report = plan(model, {"0": slr.Channel(0.5), "2": None}, X, timer=invented())
    assert report.shrunk is not None
    assert report.shrunk.parameters == 64 * 32 + 32 + 32 * 32 + 32
    assert report.shrunk.macs == 64 * 32 + 32 * 32
    assert report.shrunk.speedup == pytest.approx(3)
    assert not any(NOTHING_ELSEWHERE in warning for warning in report.warnings)
    assert "after shrink: 3,136 parameters, 3,072 multiply-accumulates, 333,333 us (3.00x)" in str(report)


def test_filters_that_shrink_cannot_remove_are_named(invented):
    pytest.importorskip("torch_pruning")

    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(64, 64), nn.Linear(64, 64)

        def forward(self, x):
            return self.second(self.first(x)) + x

    warnings = plan(Residual(), {"second": slr.Channel(0.5), "first": None}, X, timer=invented()).warnings
    assert any(warning.startswith("shrink cannot remove second: 32 outputs: ") for warning in warnings)


def test_shrink_without_its_extra(model, invented, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch_pruning", None)
    report = plan(model, {"0": slr.Channel(0.5), "2": None}, X, timer=invented())
    assert report.shrunk is None
    expected = "what shrink would bring is unknown: shrink needs torch-pruning."
    assert any(warning.startswith(expected) for warning in report.warnings)


def test_refusals(model):
    with pytest.raises(ArgumentError, match=r"plan.*example_inputs must be what the model takes: RuntimeError"):
        plan(model, slr.Unstructured(0.9), torch.randn(1, 63))
    with pytest.raises(RuleError, match="rule 'hed': matches no parameter"):
        plan(model, {"hed": slr.Unstructured(0.9)}, X)
    with pytest.raises(ShapeError, match=r"0\.weight: NM\(2, 5\) needs shape"):
        plan(model, slr.NM(2, 5), X)


def test_a_model_that_cannot_be_copied():
    model = nn.Linear(4, 4)
    model.cache = model.weight * 2
    with pytest.raises(UsageError, match=r"plan: the model cannot be copied .*\. Plan before the first training step"):
        plan(model, slr.Unstructured(0.9), torch.randn(1, 4))
