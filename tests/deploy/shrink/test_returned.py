"""What comes back: the model's settings, the report, and a model rebuilt from shapes."""

import copy

import pytest
import torch
from torch import nn

from slrprune.deploy.shrink import resize_model_, shrink


class Net(nn.Module):
    """Convolution, BatchNorm, depthwise and transposed convolution, embedding, linear; three kinds of input."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.up = nn.ConvTranspose2d(8, 6, 2, stride=2)
        self.act = nn.PReLU(6)
        self.embedding = nn.Embedding(7, 6)
        self.head = nn.Linear(6, 4)

    def forward(self, image, ids, scale=1.0):
        x = self.act(self.up(self.depthwise(torch.relu(self.norm(self.conv(image))))))
        return {"logits": self.head(x.mean((2, 3)) + self.embedding(ids)) * scale, "aux": (x.sum(),)}


@pytest.fixture
def net(lively, kill) -> Net:
    model = lively(Net())
    kill(model.depthwise, [0, 3])
    kill(model.up, [1, 2], dim=1)
    kill(model.embedding, [1, 2], dim=1)
    return model


EXAMPLE = {"image": torch.randn(2, 3, 6, 6), "ids": torch.tensor([1, 5]), "scale": 2.0}


def test_positional_and_keyword_examples_give_the_same(net):
    by_name, _ = shrink(net, EXAMPLE)
    by_position, _ = shrink(net, tuple(EXAMPLE.values()))
    assert all(torch.equal(a, b) for a, b in zip(by_name.parameters(), by_position.parameters(), strict=True))
    assert by_name.conv.weight.shape[0] == 7  # the depthwise bias is a constant that `up` cannot take: one carries it
    assert by_name.embedding.weight.shape == (7, 6)  # "aux" returns a sum over the channels


def test_training_flags_and_requires_grad_stay(net):
    net.train()
    net.norm.eval()
    net.conv.weight.requires_grad_(False)
    smaller, report = shrink(net, EXAMPLE)
    assert report.layers
    assert [module.training for module in smaller.modules()] == [module.training for module in net.modules()]
    assert {name: p.requires_grad for name, p in smaller.named_parameters()} == {
        name: p.requires_grad for name, p in net.named_parameters()
    }
    assert not net.conv.weight.requires_grad


def test_the_copy_shares_no_memory(net):
    smaller, _ = shrink(net, EXAMPLE)
    old = {tensor.untyped_storage().data_ptr() for tensor in net.state_dict().values()}
    assert not any(tensor.untyped_storage().data_ptr() in old for tensor in smaller.state_dict().values())


def test_a_smaller_model_trains(net):
    smaller, _ = shrink(net, EXAMPLE)
    smaller.train()(**EXAMPLE)["logits"].sum().backward()
    assert all(parameter.grad is not None for parameter in smaller.parameters())


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_dtypes_stay(dtype, kill):
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2)).to(dtype)
    kill(model[0], [0, 1])
    smaller, _ = shrink(model, torch.randn(2, 4, dtype=dtype))
    assert smaller[0].weight.shape == (4, 4)
    assert {parameter.dtype for parameter in smaller.parameters()} == {dtype}


def test_a_model_that_runs_in_its_own_dtype_only(kill):
    class Float32(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(4, 6), nn.Linear(6, 2)

        def forward(self, x):
            return self.last(torch.relu(self.first(x.float())))

    model = Float32()
    kill(model.first, [0, 1])
    smaller, report = shrink(model, torch.randn(2, 4))
    assert smaller.first.weight.shape == (4, 4)
    assert report.relative_difference < 1e-6


def test_nothing_dead(lively):
    model = lively(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 3)))
    smaller, report = shrink(model, torch.randn(2, 3, 8, 8))
    assert all(
        torch.equal(a, b) for a, b in zip(model.state_dict().values(), smaller.state_dict().values(), strict=True)
    )
    assert (report.layers, report.leftovers, report.relative_difference) == ((), (), 0.0)
    assert report.parameters_before == report.parameters_after == sum(p.numel() for p in model.parameters())
    assert str(report) == "Nothing could be removed: the model is as it was."


def test_report_counts_and_words(kill):
    model = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.ReLU(), nn.Conv2d(8, 2, 3), nn.Flatten(), nn.Linear(32, 2))
    kill(model[0], [0, 1, 2])
    kill(model[4], [1])
    _, report = shrink(model, torch.randn(5, 3, 8, 8))
    assert (report.parameters_before, report.parameters_after) == (
        3 * 8 * 9 + 8 * 2 * 9 + 2 + 66,
        3 * 5 * 9 + 5 * 2 * 9 + 68,
    )
    assert report.macs_before == 5 * (36 * 8 * 27 + 16 * 2 * 72 + 64)
    assert report.macs_after == 5 * (36 * 5 * 27 + 16 * 2 * 45 + 64)
    lines = str(report).splitlines()
    assert lines[0].startswith("428 -> 293 parameters, 50,720 -> 31,820 multiply-accumulates; outputs differ by ")
    assert lines[1:] == [
        "  0: 3 outputs removed, now [5, 3, 3, 3]",
        "  2: 3 inputs removed, now [2, 5, 3, 3]",
        "All zero, and still there:",
        "  4: 1 outputs: no layer reads it: the model returns it, or hides its way",
    ]


def test_a_fresh_model_takes_the_shapes_and_the_weights(net):
    smaller, report = shrink(net, EXAMPLE)
    rebuilt = resize_model_(Net(), report.shapes)
    rebuilt.load_state_dict(smaller.state_dict())
    rebuilt.eval()
    assert str(rebuilt) == str(smaller)
    with torch.no_grad():
        assert torch.equal(rebuilt(**EXAMPLE)["logits"], smaller(**EXAMPLE)["logits"])
    again = copy.deepcopy(rebuilt)
    assert resize_model_(again, {name: tensor.shape for name, tensor in rebuilt.state_dict().items()}) is again


@pytest.mark.gpu
def test_on_a_gpu(net):
    example = {name: value.cuda() if isinstance(value, torch.Tensor) else value for name, value in EXAMPLE.items()}
    smaller, report = shrink(net.cuda(), example)
    assert smaller.conv.weight.is_cuda
    assert report.layers
