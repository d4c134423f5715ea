"""What is folded and fused, and what must not be."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune


class Net(nn.Module):
    """A convolution and a BatchNorm, used as the function says."""

    def __init__(self, use):
        super().__init__()
        self.conv, self.norm, self.other = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.BatchNorm2d(4)
        self.relu, self.use, self.idle, self.drop = nn.ReLU(), use, nn.Identity(), nn.Dropout2d()

    def forward(self, x):
        return self.use(self, x)


def twice(net, x):
    return net.norm(net.conv(net.norm(net.conv(x))))


def two_readers(net, x):
    y = net.conv(x)
    return net.norm(y) + y


def relu_of_two_readers(net, x):
    y = net.conv(x)
    return torch.relu(y) + y


def weight_read(net, x):
    return net.conv(x).relu() * net.conv.weight.sum()


def in_place_and_read_again(net, x):
    y = net.conv(x)
    torch.relu_(y)
    return y


@pytest.mark.parametrize(
    ("use", "folded", "relu"),
    [
        (lambda net, x: net.norm(net.conv(x)), 1, False),
        (lambda net, x: net.relu(net.norm(net.conv(x))), 1, True),
        (lambda net, x: F.relu(net.norm(net.conv(x)), inplace=True), 1, True),
        (lambda net, x: net.norm(net.conv(x)).relu_(), 1, True),
        (lambda net, x: net.norm(net.conv(x).relu()), 0, True),
        (lambda net, x: net.other(net.norm(net.conv(x))), 2, False),
        (lambda net, x: net.relu(net.idle(net.norm(net.drop(net.conv(x))))), 1, True),
        (lambda net, x: net.norm(net.conv(x)) + net.norm(x), 1, False),
        (twice, 0, False),
        (two_readers, 0, False),
        (relu_of_two_readers, 0, False),
        (in_place_and_read_again, 0, False),
        (weight_read, 0, False),
    ],
)
def test_folding_in_a_graph(use, folded, relu, pruned, accelerated, invented):
    x = torch.randn(2, 4, 6, 6)
    timer = invented(total={"dense, contiguous": 0.5})
    _, report = accelerated(pruned(Net(use)), x, torch.randn(3, 4, 5, 7), timer=timer)
    assert report.folded == folded
    assert report.rows[0].relu is relu


def test_a_weight_that_is_read_directly_stays(pruned, accelerated, invented):
    _, report = accelerated(pruned(Net(weight_read)), torch.randn(1, 4, 6, 6), timer=invented())
    assert report.rows[0].chosen == "dense"
    assert report.rows[0].why == "the forward pass reads its weight directly"


class Untraceable(nn.Module):
    """Control flow on values; Sequential inside."""

    def __init__(self, *layers):
        super().__init__()
        self.body = nn.Sequential(*layers)

    def forward(self, x):
        return self.body(x) if x.sum() > -1e9 else x


def test_folding_within_sequential_where_there_is_no_graph(pruned, accelerated, invented):
    layers = nn.Conv2d(4, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.BatchNorm2d(8)
    timer = invented(total={"dense, contiguous": 0.5})
    _, report = accelerated(pruned(Untraceable(*layers)), torch.randn(2, 4, 9, 9), timer=timer)
    assert report.folded == 1
    assert [row.relu for row in report.rows] == [True, True]
    assert "torch.fx cannot follow the forward pass (TraceError" in str(report)


def test_what_lies_between_the_modules_of_a_sequential_is_not_lost(pruned, accelerated, invented):
    class Peeking(Untraceable):
        def forward(self, x):
            y = self.body[0](x)
            return self.body[1](y) + y if x.sum() > -1e9 else x

    timer = invented(total={"accelerated, contiguous": 0.5})
    _, report = accelerated(
        pruned(Peeking(nn.Conv2d(4, 8, 3), nn.BatchNorm2d(8))), torch.randn(2, 4, 9, 9), timer=timer
    )
    assert report.folded == 0


def test_batchnorm_behind_a_linear_layer_of_three_dimensions_stays(pruned, accelerated, invented):
    model = pruned(nn.Sequential(nn.Linear(8, 6), nn.BatchNorm1d(6)))
    _, report = accelerated(model, torch.randn(2, 6, 8), timer=invented(total={"dense, contiguous": 0.5}))
    assert report.folded == 0


def test_hooks_keep_a_layer_and_still_run(pruned, accelerated, invented):
    seen = []
    model = pruned(nn.Sequential(nn.Linear(8, 8), nn.ReLU()))
    model[0].register_forward_hook(lambda *_: seen.append(1))
    result, report = accelerated(model, torch.randn(2, 8), timer=invented())
    assert report.rows[0].why == "it has forward hooks, which a replacement would not call"
    seen.clear()
    result(torch.randn(2, 8))
    assert seen == [1]


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x):
        return self.linear(x).relu()


@pytest.mark.parametrize("hooked", ["", "0"])
def test_hooks_of_modules_around_the_layers_still_run(hooked, pruned, accelerated, invented):
    seen = []
    model = pruned(nn.Sequential(Block(), Block()))
    model.get_submodule(hooked).register_forward_hook(lambda _, args, output: seen.append(type(output)))
    result, report = accelerated(model, torch.randn(2, 8), timer=invented("torch BSR 16x16"))
    assert f"{hooked or 'Sequential'} has forward hooks, which a graph would not call" in str(report)
    assert set(seen) == {torch.Tensor}
    seen.clear()
    result(torch.randn(2, 8))
    assert seen == [torch.Tensor]


def test_layers_that_stay_say_why(pruned, accelerated, invented):
    class Own(nn.Linear):
        def forward(self, x):
            return super().forward(x) + 1

    class Holder(nn.Module):
        def __init__(self):
            super().__init__()
            self.own, self.idle = Own(8, 8), nn.Linear(8, 8)
            self.shared = nn.Linear(8, 8)
            self.again = self.shared
            self.attention = nn.MultiheadAttention(8, 2)

        def forward(self, x):
            return self.again(self.shared(self.own(x))) + self.attention(x, x, x)[0]

    _, report = accelerated(pruned(Holder()), torch.randn(3, 8), timer=invented())
    assert {row.name: row.why for row in report.rows} == {
        "own": "Own has a forward of its own",
        "idle": "the forward pass does not call it",
        "shared": "the model knows it under several names",
        "attention.out_proj": "it is part of a module whose fast path in torch reads the weight directly",
    }
    assert "Modules of other kinds stay as they are: MultiheadAttention (attention)." in report.notes


@pytest.mark.parametrize("wrap", [lambda layer: layer, lambda layer: nn.TransformerEncoder(layer, 1)])
def test_the_fast_path_of_torch_stays(wrap, pruned, accelerated, invented):
    model = pruned(wrap(nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)))
    _, report = accelerated(model, torch.randn(2, 5, 16), torch.randn(1, 3, 16), timer=invented())
    assert {row.chosen for row in report.rows} == {"dense"}
    assert all("whose fast path in torch reads the weight directly" in row.why for row in report.rows)


def test_a_model_that_looks_into_its_layer_keeps_it(pruned, accelerated, invented, needs_kernels):
    class Looking(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, x):
            y = self.second(self.first(x))
            return y if y.sum() != 0 and self.first.weight.dtype is x.dtype else x

    _, report = accelerated(pruned(Looking(), 0.5), torch.randn(3, 8), timer=invented())
    assert [row.chosen for row in report.rows] == ["dense", "sparse kernel"]
    assert "the model does not run with a replacement (AttributeError" in report.rows[0].why


@pytest.mark.parametrize("has_run", [True, False])
def test_masks_of_torch_prune_that_are_still_there(has_run, accelerated, invented, needs_kernels):
    model = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4))
    prune.random_unstructured(model[0], "weight", 0.9)
    if has_run:  # with gradients: the weight is then no leaf, and torch refuses to copy it
        model(torch.randn(1, 32)).sum().backward()
    _, report = accelerated(model.eval(), torch.randn(2, 32), timer=invented())
    assert [row.chosen for row in report.rows] == ["sparse kernel", "dense"]
    assert report.rows[0].sparsity == pytest.approx(0.9, abs=0.01)
    assert prune.is_pruned(model)


def test_masks_that_were_removed_and_their_minus_zeros(accelerated, invented, needs_kernels):
    model = nn.Sequential(nn.Linear(32, 32))
    prune.l1_unstructured(model[0], "weight", 0.9)
    prune.remove(model[0], "weight")
    _, report = accelerated(model.eval(), torch.randn(2, 32), timer=invented())
    assert report.rows[0].chosen == "sparse kernel"


def test_parametrizations_are_made_permanent_in_the_copy(accelerated, invented):
    model = nn.Sequential(parametrizations.weight_norm(nn.Linear(8, 8)), nn.ReLU()).eval()
    result, _ = accelerated(model, torch.randn(2, 8), timer=invented())
    assert sorted(result.state_dict()) == ["model.0.bias", "model.0.weight"]
    assert "0.parametrizations.weight.original0" in model.state_dict()
