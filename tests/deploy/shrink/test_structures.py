"""Channels that belong together: sums, concatenations, groups, gates, several uses."""

import torch
from torch import nn
from torch.nn import functional as F


class Residual(nn.Module):
    """Two branches into one sum."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 1)
        self.conv1, self.bn1 = nn.Conv2d(6, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.conv2, self.bn2 = nn.Conv2d(8, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)
        self.head = nn.Linear(6, 4)

    def forward(self, x):
        x = self.stem(x)
        x = F.relu(x + self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))
        return self.head(x.mean((2, 3)))


def test_a_residual_channel_goes_where_all_branches_are_dead(kill, lively, shrunk):
    model = lively(Residual())
    kill(model.stem, [1, 2, 4])
    kill(model.conv2, [2, 3, 4])
    smaller, report = shrunk(model, torch.randn(2, 3, 6, 6), torch.randn(1, 3, 9, 9))
    # Channels 2 and 4 are constant in the stem, but conv1 pads: one of them carries the other.
    assert smaller.stem.weight.shape[0] == smaller.conv2.weight.shape[0] == smaller.head.weight.shape[1] == 5
    reasons = {(left.name, left.channels): left.reason for left in report.leftovers}
    assert reasons["stem", (1,)] == "a sum or product ties it to channels of stem, conv2, and not all of these are dead"
    assert ("conv2", (3,)) in reasons


def test_a_dead_branch_keeps_one_channel(kill, lively, shrunk):
    model = lively(Residual())
    kill(model.conv2, list(range(8)), dim=1)
    smaller, report = shrunk(model, torch.randn(2, 3, 6, 6))
    assert smaller.conv1.weight.shape == (1, 6, 3, 3)
    assert [
        (left.channels, left.reason) for left in report.leftovers if left.name == "conv2" and left.side == "inputs"
    ] == [((0,), "conv2 would have no channel left")]


class TwoSided(nn.Module):
    """Two padded readers; what is zero for one of them is not for the other."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 1)
        self.above, self.below = nn.Conv2d(6, 2, 3, padding=1), nn.Conv2d(6, 2, 3, padding=1)

    def forward(self, x):
        x = self.stem(x)
        return self.above(F.relu(x)) + self.below(F.relu(-x))


def test_as_many_carriers_as_it_takes(kill, shrunk):
    model = TwoSided()
    kill(model.stem, [0, 1, 2, 3, 4])
    with torch.no_grad():
        model.stem.bias[:5] = torch.tensor([1.0, -1.0, 2.0, -3.0, 0.0])
    smaller, report = shrunk(model, torch.randn(2, 3, 5, 5), torch.randn(1, 3, 8, 8))
    assert smaller.stem.out_channels == 3
    assert [(left.name, left.channels) for left in report.leftovers] == [("stem", (2,)), ("stem", (3,))]


class Concat(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 5, 3, padding=1)
        self.norm, self.last = nn.BatchNorm2d(9), nn.Conv2d(9, 2, 1)

    def forward(self, x):
        return self.last(F.silu(self.norm(torch.cat([self.a(x), self.b(x)], 1))))


def test_a_concatenation_shifts_the_numbers(kill, lively, shrunk):
    model = lively(Concat())
    kill(model.a, [0, 3])
    kill(model.b, [1])
    smaller, report = shrunk(model, torch.randn(2, 3, 6, 6), torch.randn(1, 3, 4, 4))
    assert smaller.norm.num_features == 6
    assert {layer.name: layer.inputs for layer in report.layers}["last"] == (0, 3, 5)
    assert report.leftovers == ()


class Gated(nn.Module):
    """Squeeze and excitation: a channel times a gate computed from all channels."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 6, 1), nn.BatchNorm2d(6)
        self.squeeze, self.excite = nn.Conv2d(6, 4, 1), nn.Conv2d(4, 6, 1)
        self.last = nn.Conv2d(6, 2, 3, padding=1)

    def forward(self, x):
        x = F.relu(self.norm(self.conv(x)))
        return self.last(x * self.excite(F.relu(self.squeeze(x.mean((2, 3), keepdim=True)))).sigmoid())


def test_zero_times_a_gate_is_zero(kill, lively, shrunk):
    model = lively(Gated())
    kill(model.conv, [0, 5])
    with torch.no_grad():
        model.norm.bias[0] = -10  # behind the ReLU a zero
        model.norm.bias[5] = 10
    smaller, report = shrunk(model, torch.randn(2, 3, 6, 6), torch.randn(1, 3, 8, 8))
    assert smaller.conv.weight.shape[0] == smaller.excite.weight.shape[0] == 5
    (left,) = report.leftovers
    assert (left.name, left.channels) == ("conv", (5,))


def test_a_depthwise_filter_of_zeros_takes_its_channel_along(kill, lively, shrunk):
    model = lively(
        nn.Sequential(
            nn.Conv2d(3, 6, 1, bias=False),
            nn.BatchNorm2d(6),
            nn.ReLU6(),
            nn.Conv2d(6, 6, 3, padding=1, groups=6, bias=False),
            nn.BatchNorm2d(6),
            nn.ReLU6(),
            nn.Conv2d(6, 4, 1, bias=False),
            nn.BatchNorm2d(4),
        )
    )
    kill(model[3], [0, 1, 4])
    smaller, report = shrunk(model, torch.randn(2, 3, 8, 8), torch.randn(1, 3, 5, 5))
    assert smaller[0].weight.shape == (3, 3, 1, 1)
    assert (smaller[3].groups, smaller[3].in_channels, smaller[3].out_channels) == (3, 3, 3)
    assert smaller[6].weight.shape == (4, 3, 1, 1)
    assert report.leftovers == ()


def test_grouped_convolutions_lose_the_same_number_in_each_group(kill, shrunk):
    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 12, 3, groups=2), nn.ReLU(), nn.Conv2d(12, 2, 1))
    kill(model[0], [0, 2, 7])
    kill(model[2], [1, 2, 3, 6, 11])
    smaller, report = shrunk(model, torch.randn(2, 3, 6, 6), torch.randn(1, 3, 7, 7))
    assert smaller[0].weight.shape[0] == smaller[2].in_channels == 6
    assert smaller[2].weight.shape == (8, 3, 3, 3)
    assert smaller[4].weight.shape[1] == 8
    assert [(left.name, left.channels) for left in report.leftovers] == [("0", (0,)), ("2", (1,))]
    assert {left.reason for left in report.leftovers} == {"2 would have groups of unequal size, or empty"}


def test_inputs_that_nothing_reads_take_their_live_filters_along(kill, lively, shrunk):
    model = lively(nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 3)))
    kill(model[3], [1, 5], dim=1)
    smaller, report = shrunk(model, torch.randn(2, 3, 6, 6), torch.randn(1, 3, 9, 9))
    assert smaller[0].weight.shape == (4, 3, 3, 3)
    assert report.layers[0].outputs == (1, 5)


def test_what_only_fed_a_dead_neuron_goes_too(kill, shrunk):
    model = nn.Sequential(*(layer for _ in range(3) for layer in (nn.Linear(6, 6), nn.ReLU())), nn.Linear(6, 2))
    kill(model[4], [1, 2, 3, 4, 5])
    with torch.no_grad():
        model[4].weight[0, 2:] = 0
        model[2].weight[:2, 3:] = 0
    smaller, report = shrunk(model, torch.randn(2, 6), torch.randn(4, 6))
    assert [smaller[i].out_features for i in (0, 2, 4, 6)] == [3, 2, 1, 2]
    assert [layer.outputs for layer in report.layers[:3]] == [(3, 4, 5), (2, 3, 4, 5), (1, 2, 3, 4, 5)]


def test_batchnorm_scales_of_zero_kill_channels(shrunk, lively):
    model = lively(nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Sigmoid(), nn.Conv2d(6, 4, 1)))
    with torch.no_grad():
        model[1].weight[[2, 3]] = 0
    smaller, _ = shrunk(model, torch.randn(2, 3, 6, 6), torch.randn(1, 3, 9, 9))
    assert smaller[0].weight.shape[0] == 4


def test_norms_without_parameters_or_statistics(kill, shrunk):
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6, affine=False), nn.Conv2d(6, 5, 1), nn.InstanceNorm2d(5), nn.PReLU(5),
        nn.Conv2d(5, 4, 1), nn.PReLU(), nn.Conv2d(4, 2, 1),
    )  # fmt: skip
    for layer, channels in ((0, [1]), (2, [2, 3]), (5, [0])):
        kill(model[layer], channels)
    smaller, report = shrunk(model.eval(), torch.randn(2, 3, 6, 6), torch.randn(1, 3, 9, 9))
    assert [smaller[i].out_channels for i in (0, 2, 5)] == [5, 3, 3]
    assert (smaller[1].num_features, smaller[4].num_parameters, smaller[6].num_parameters) == (5, 3, 1)
    assert report.leftovers == ()


class Scaled(nn.Module):
    """A parameter of the model's own, one value per channel (layer scale)."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(4, 6), nn.Linear(6, 2)
        self.scale = nn.Parameter(torch.randn(6))

    def forward(self, x):
        return self.last(self.first(x) * self.scale)


def test_parameters_outside_the_layers_shrink_too(kill, shrunk):
    model = Scaled()
    kill(model.first, [1, 4])
    smaller, report = shrunk(model, torch.randn(2, 4), torch.randn(5, 4))
    torch.testing.assert_close(smaller.scale, model.scale[[0, 2, 3, 5]])
    assert report.shapes["scale"] == (4,)


class Tokens(nn.Module):
    """An embedding straight into a linear layer, with a mask from the integers."""

    def __init__(self):
        super().__init__()
        self.embedding, self.hidden, self.last = nn.Embedding(10, 6), nn.Linear(6, 5), nn.Linear(5, 2)

    def forward(self, ids, mask):
        x = self.hidden(self.embedding(ids)) * mask[..., None].double().to(self.last.weight.dtype)
        return self.last(x)


def test_embeddings_lose_dimensions_and_masks_are_no_constants(kill, shrunk):
    model = Tokens()
    kill(model.embedding, [2, 3], dim=1)
    kill(model.hidden, [1])
    ids = torch.randint(10, (2, 7))
    example = {"ids": ids, "mask": torch.ones(2, 7, dtype=torch.long)}
    smaller, report = shrunk(model, example, {"ids": ids, "mask": torch.randint(2, (2, 7))})
    assert smaller.embedding.weight.shape == (10, 4)
    assert smaller.embedding.embedding_dim == 4
    # The neuron's bias times the mask: constant in the example, whose mask is all ones, and nowhere else.
    assert [(left.name, left.channels) for left in report.leftovers] == [("hidden", (1,))]


class Halves(nn.Module):
    """One half of the channels is added to the other."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 8, 1), nn.Conv2d(4, 2, 1)

    def forward(self, x):
        a, b = self.first(x).chunk(2, 1)
        return self.last(a + b)


def test_halves_of_one_layer_go_in_pairs(kill, shrunk):
    model = Halves()
    kill(model.first, [1, 5, 2])
    smaller, report = shrunk(model, torch.randn(2, 3, 4, 4), torch.randn(1, 3, 5, 5))
    assert smaller.first.weight.shape[0] == 6
    assert [(left.name, left.channels) for left in report.leftovers] == [("first", (2,))]


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.up, self.down, self.norm = nn.Linear(8, 12), nn.Linear(12, 8), nn.LayerNorm(8)

    def forward(self, x):
        x = self.norm(x + self.attention(x, x, x)[0])
        return x + self.down(F.gelu(self.up(x)))


def test_attention_and_layer_norm_are_left_alone_by_name(kill, shrunk):
    model = Attention()
    kill(model.up, [0, 7])
    with torch.no_grad():
        model.attention.in_proj_weight[3] = 0
        model.attention.out_proj.weight[2] = 0
    smaller, report = shrunk(model, torch.randn(2, 5, 8), torch.randn(3, 9, 8))
    assert smaller.up.weight.shape[0] == 10
    left = {left.name: left for left in report.leftovers}
    assert left["attention.in_proj_weight"].reason == "shrink cannot cut a MultiheadAttention"
    assert left["attention.out_proj"].channels == (2,)


def test_rows_of_the_head_stay_for_the_model_returns_them(kill, shrunk):
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
    kill(model[2], [1])
    _, report = shrunk(model, torch.randn(2, 4))
    assert report.layers == ()
    assert [(left.name, left.channels, left.reason) for left in report.leftovers] == [
        ("2", (1,), "no layer reads it: the model returns it, or hides its way")
    ]


class MeanOfChannels(nn.Module):
    """Mixes the channels by an operation that the graph takes for one per channel."""

    def __init__(self):
        super().__init__()
        self.first, self.last, self.other = nn.Conv2d(3, 6, 1), nn.Conv2d(6, 2, 1), nn.Conv2d(6, 2, 1)

    def forward(self, x):
        x = self.first(x)
        return self.last(x) + self.other(x.mean(1, keepdim=True).expand_as(x))


def test_a_cut_that_would_change_the_outputs_is_left_out(kill, shrunk):
    model = MeanOfChannels()
    kill(model.last, [1], dim=1)
    kill(model.other, [1], dim=1)
    _, report = shrunk(model, torch.randn(2, 3, 4, 4))
    assert report.layers == ()
    assert [(left.name, left.side, left.channels) for left in report.leftovers] == [
        ("last", "inputs", (1,)),
        ("other", "inputs", (1,)),
    ]
    assert all(left.reason.startswith("without it the outputs differ by") for left in report.leftovers)


class MeanIntoOneChannel(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last, self.other = nn.Conv2d(3, 6, 1), nn.Conv2d(6, 2, 1), nn.Conv2d(1, 2, 1)

    def forward(self, x):
        x = self.first(x)
        return self.last(x) + self.other(x.mean(1, keepdim=True))


def test_numbers_that_fit_no_layer_are_refused(kill, shrunk):
    model = MeanIntoOneChannel()
    kill(model.first, [1])
    _, report = shrunk(model, torch.randn(2, 3, 4, 4))
    (left,) = report.leftovers
    assert left.reason == "torch-pruning's numbers do not fit other"


class FixedSize(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(4, 6), nn.Linear(6, 2)

    def forward(self, x):
        return self.last(F.relu(self.first(x)).view(-1, 2, 3).view(-1, 6))


def test_a_cut_on_which_the_forward_pass_stumbles_is_left_out(kill, shrunk):
    model = FixedSize()
    kill(model.first, [1])
    _, report = shrunk(model, torch.randn(2, 4))
    (left,) = report.leftovers
    assert left.reason.startswith("without it the forward pass fails (RuntimeError: shape")


class StandardizedConv(nn.Conv2d):
    """Reads its weight in another way: rows and columns of zeros mean something else there."""

    def forward(self, x):
        return F.conv2d(x, self.weight - self.weight.mean((1, 2, 3), keepdim=True), self.bias)


def test_a_layer_with_a_forward_pass_of_its_own_is_left_alone(kill, shrunk):
    model = nn.Sequential(nn.Conv2d(3, 6, 1), StandardizedConv(6, 4, 1), nn.Conv2d(4, 2, 1))
    kill(model[0], [1])
    kill(model[1], [2], dim=1)
    _, report = shrunk(model, torch.randn(2, 3, 4, 4))
    assert report.layers == ()
    assert {left.reason for left in report.leftovers} == {
        "it passes 1, and shrink cannot cut a StandardizedConv exactly"
    }


def test_tied_weights_are_left_alone(kill, shrunk):
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    model[2].weight = model[0].weight
    kill(model[0], [1])
    _, report = shrunk(model, torch.randn(2, 4))
    assert report.layers == ()
    assert "0 shares a parameter with another layer" in {left.reason for left in report.leftovers}
