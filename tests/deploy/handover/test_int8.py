"""int8 after pruning: zeros stay zeros, looked up here by a path of its own."""

import pytest
import torch
from torch import nn

from slrprune.deploy import load_sparse, save_sparse
from slrprune.deploy.handover import int8, quantize_int8
from slrprune.errors import MissingExtraError, UsageError

pytest.importorskip("torchao", reason="needs the extra int8")


@pytest.fixture(scope="module")
def quantized(net, images):
    return quantize_int8(net, images, calibration=[images + 0.1, images - 0.1])


def test_every_zero_of_a_pruned_weight_is_a_zero_in_int8(net, quantized):
    converted, report = quantized
    stored = [tensor for name, tensor in converted.state_dict().items() if tensor.dtype == torch.int8]
    assert [weight.name for weight in report.weights] == ["stem.weight", "body.weight", "down.weight", "head.weight"]
    by_shape = {tuple(tensor.shape): tensor for tensor in stored}
    for weight in report.weights:
        dense = net.get_parameter(weight.name)
        assert weight.zeros == int((dense == 0).sum()) <= weight.int8_zeros
        tensor = by_shape[tuple(dense.shape)]
        assert int((tensor[dense == 0] != 0).sum()) == 0
        assert int((tensor == 0).sum()) == weight.int8_zeros < weight.numel
    assert sum(weight.zeros for weight in report.weights) > 1500
    assert report.left == ()


def test_the_outputs_are_near_and_the_tensors_small(net, images, quantized):
    converted, report = quantized
    with torch.no_grad():
        difference = (converted(images) - net(images)).abs().max() / net(images).abs().max()
    assert report.relative_difference == pytest.approx(float(difference), rel=1e-3)
    assert 0 < report.relative_difference < 0.1
    weights = sum(weight.numel for weight in report.weights)
    assert report.nbytes_after < weights + 1500  # a byte each, and scales and biases: no float weight is left
    zeros = sum(weight.zeros for weight in report.weights)
    assert f"all {zeros:,} zeros of {weights:,} entries kept" in str(report)


def test_int8_and_zeros_together_in_the_sparse_file(quantized, tmp_path):
    converted, report = quantized
    size = save_sparse(converted, tmp_path / "int8.safetensors")
    restored = load_sparse(tmp_path / "int8.safetensors")
    assert all(torch.equal(tensor, restored[name]) for name, tensor in converted.state_dict().items())
    assert size < report.nbytes_after + 3000  # a header; the tensors themselves are tiny here


def test_weights_without_a_place_in_int8_are_named(images):
    class Matrix(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(8, 8)
            self.free = nn.Parameter(torch.randn(8, 4))

        def forward(self, x):
            return self.linear(x).exp() @ self.free

    _, report = quantize_int8(Matrix().eval(), images)
    assert [weight.name for weight in report.weights] == ["linear.weight"]
    assert report.left == ("free",)
    assert "free stays in its dtype" in str(report)


def test_what_cannot_be_quantized_is_refused(net, images, monkeypatch):
    with pytest.raises(UsageError, match=r"quantize_int8: the model is in training mode\. Call model\.eval\(\) before"):
        quantize_int8(nn.Linear(8, 8), images)
    with pytest.raises(UsageError, match=r"torchao found no convolution or linear layer to quantize\."):
        quantize_int8(nn.ReLU().eval(), images)

    class Branching(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(UsageError, match=r"quantize_int8: the model cannot be quantized \(.*\)\. Quantize the parts"):
        quantize_int8(Branching().eval(), images)
    monkeypatch.setattr(int8.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"needs torchao. Install it with: pip install 'slrprune\[int8\]'"):
        quantize_int8(net, images)


def test_a_lost_zero_is_refused(net, quantized):
    converted, _ = quantized
    names = {"conv2d_1": "body.weight"}
    weight = next(tensor for tensor in converted.state_dict().values() if tensor.shape == net.body.weight.shape)
    place = tuple((net.body.weight == 0).nonzero()[0])
    weight[place] = 1
    try:
        with pytest.raises(UsageError, match=r"body\.weight: 1 zeros are no zeros in int8"):
            int8._checked(net, converted, names)
    finally:
        weight[place] = 0
