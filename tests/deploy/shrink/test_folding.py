"""Where the constants of dead channels go, against values computed by hand."""

import torch
from torch import nn
from torch.nn import functional as F


def batchnorm_constant(norm: nn.BatchNorm2d, channel: int) -> torch.Tensor:
    """What BatchNorm gives for zeros: beta - gamma * mean / sqrt(var + eps)."""
    scale = norm.weight[channel] / torch.sqrt(norm.running_var[channel] + norm.eps)
    return norm.bias[channel] - scale * norm.running_mean[channel]


def test_neurons_of_linear_layers_leave_their_activated_bias(kill, shrunk):
    model = nn.Sequential(nn.Linear(6, 5), nn.GELU(), nn.Linear(5, 4))
    kill(model[0], [1, 3])
    smaller, report = shrunk(model, torch.randn(3, 6), torch.randn(2, 7, 6))
    assert smaller[0].weight.shape == (3, 6)
    assert smaller[2].weight.shape == (4, 3)
    gone = F.gelu(model[0].bias[[1, 3]])
    torch.testing.assert_close(smaller[2].bias, model[2].bias + model[2].weight[:, [1, 3]] @ gone)
    assert [(layer.name, layer.outputs, layer.inputs) for layer in report.layers] == [
        ("0", (1, 3), ()),
        ("2", (), (1, 3)),
    ]
    assert report.leftovers == ()


def test_filters_before_an_unpadded_convolution_go_into_its_bias(kill, lively, shrunk):
    model = lively(nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 3)))
    kill(model[0], [0, 2, 5])
    with torch.no_grad():
        model[0].bias.index_fill_(0, torch.tensor([0, 2, 5]), 0)
        model[1].bias.add_(2)  # so that constants are not zero behind the ReLU
    smaller, _ = shrunk(model, torch.randn(2, 3, 8, 8), torch.randn(1, 3, 11, 9))
    assert smaller[1].num_features == smaller[1].running_mean.numel() == 3
    constants = torch.stack([F.relu(batchnorm_constant(model[1], channel)) for channel in (0, 2, 5)])
    assert (constants > 0).any()
    expected = model[3].bias + model[3].weight[:, [0, 2, 5]].sum((2, 3)) @ constants
    torch.testing.assert_close(smaller[3].bias, expected)


def test_without_bias_the_batchnorm_behind_takes_it(kill, lively, shrunk):
    model = lively(
        nn.Sequential(
            nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.Conv2d(4, 5, 1, bias=False), nn.BatchNorm2d(5)
        )
    )
    kill(model[0], [1])
    smaller, report = shrunk(model, torch.randn(2, 3, 6, 6), torch.randn(1, 3, 9, 5))
    assert smaller[2].weight.shape == (5, 3, 1, 1)
    shift = model[2].weight[:, 1, 0, 0] * batchnorm_constant(model[1], 1)
    torch.testing.assert_close(smaller[3].running_mean, model[3].running_mean - shift)
    assert report.leftovers == ()


def test_before_zero_padding_one_channel_carries_all(kill, lively, shrunk):
    model = lively(nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Conv2d(6, 4, 3, padding=1)))
    kill(model[0], [0, 2, 5])
    smaller, report = shrunk(model, torch.randn(2, 3, 8, 8), torch.randn(1, 3, 12, 7))
    assert smaller[2].weight.shape == (4, 4, 3, 3)
    (left,) = report.leftovers
    assert (left.name, left.side, len(left.channels)) == ("0", "outputs", 1)
    assert left.reason == "2 reads a constant there and pads with zeros: such a channel stays for others"


def test_before_zero_padding_channels_of_zeros_need_no_carrier(kill, lively, shrunk):
    model = lively(
        nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 3, padding=1, bias=False))
    )
    kill(model[0], [0, 2, 5])
    with torch.no_grad():
        model[1].running_mean[[0, 2, 5]] = 0
        model[1].weight.fill_(1)
        model[1].bias[[0, 2, 5]] = -3
        model[0].bias[[0, 2, 5]] = 0
    smaller, report = shrunk(model, torch.randn(2, 3, 8, 8))
    assert smaller[3].weight.shape == (4, 3, 3, 3)
    torch.testing.assert_close(smaller[3].weight, model[3].weight[:, [1, 3, 4]])
    assert report.leftovers == ()


def test_padding_other_than_zeros_keeps_constants_constant(kill, shrunk):
    model = nn.Sequential(nn.Conv2d(3, 6, 3), nn.Conv2d(6, 4, 3, padding=1, padding_mode="circular"))
    kill(model[0], [0, 2])
    smaller, report = shrunk(model, torch.randn(2, 3, 8, 8), torch.randn(1, 3, 5, 5))
    assert smaller[1].weight.shape == (4, 4, 3, 3)
    assert report.leftovers == ()


def test_same_padding_counts_as_padding(kill, shrunk):
    model = nn.Sequential(nn.Conv1d(3, 6, 3), nn.Conv1d(6, 4, 3, padding="same"), nn.Conv1d(4, 2, 1, padding="same"))
    kill(model[0], [0, 2])
    kill(model[1], [1])
    smaller, _ = shrunk(model, torch.randn(2, 3, 9))
    assert smaller[1].weight.shape == (3, 5, 3)
    assert smaller[2].weight.shape == (2, 3, 1)


def test_a_constant_at_the_size_of_the_example_need_not_be_one_elsewhere(kill, lively, shrunk):
    """On a 1x1 map every position is at the border, so that padding shows nowhere."""
    model = lively(
        nn.Sequential(
            nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3, padding=1, groups=4), nn.Conv2d(4, 2, 1)
        )
    )
    kill(model[0], [1])
    _, report = shrunk(model, torch.randn(2, 3, 1, 1), torch.randn(2, 3, 6, 6))
    (left,) = report.leftovers
    assert left.channels == (1,)
    assert left.reason == "3 reads it, and finds values that depend on the model's input or on padding"


def test_an_average_that_counts_padding_gives_no_constant(kill, shrunk):
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.AvgPool2d(3, 1, padding=1), nn.Conv2d(4, 2, 1))
    kill(model[0], [1])
    _, report = shrunk(model, torch.randn(2, 3, 1, 1), torch.randn(2, 3, 6, 6))
    assert report.layers == ()
    assert [left.channels for left in report.leftovers] == [(1,)]
    model[1].count_include_pad = False
    _, report = shrunk(model, torch.randn(2, 3, 1, 1), torch.randn(2, 3, 6, 6))
    assert report.leftovers == ()


def test_into_a_transposed_convolution_one_channel_carries_all(kill, shrunk):
    model = nn.Sequential(nn.Conv2d(3, 6, 1), nn.ConvTranspose2d(6, 4, 2, stride=2), nn.ReLU(), nn.Conv2d(4, 2, 1))
    kill(model[0], [0, 2, 3])
    kill(model[1], [1], dim=1)
    smaller, _ = shrunk(model, torch.randn(2, 3, 5, 5), torch.randn(1, 3, 4, 7))
    assert smaller[1].weight.shape == (4, 3, 2, 2)
    assert (smaller[1].in_channels, smaller[1].out_channels) == (4, 3)
    assert smaller[3].weight.shape == (2, 3, 1, 1)


def test_each_position_of_a_flattened_channel_has_its_own_weights(kill, lively, shrunk):
    model = lively(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 9, 5)))
    kill(model[0], [2])
    smaller, report = shrunk(model, torch.randn(2, 3, 5, 5), torch.randn(3, 3, 5, 5))
    assert smaller[3].weight.shape == (5, 27)
    assert report.layers[-1].inputs == tuple(range(18, 27))


def test_a_flattened_channel_without_a_bias_behind_it(kill, shrunk):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 9, 5, bias=False), nn.Tanh())
    kill(model[0], [1, 2])
    smaller, _ = shrunk(model, torch.randn(2, 3, 5, 5), torch.randn(3, 3, 5, 5))
    assert smaller[2].weight.shape == (5, 27)


def test_a_layer_called_twice_cannot_use_the_batchnorm_behind_one_call(kill, lively, shrunk):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 3, bias=False)
            self.norm = nn.BatchNorm1d(3)

        def forward(self, x):
            hidden = self.first(x)
            return self.norm(self.second(hidden)) + self.second(2 * hidden)

    model = lively(Twice())
    kill(model.first, [0])
    _, report = shrunk(model, torch.randn(3, 4), torch.randn(5, 4))
    (left,) = report.leftovers
    assert left.name == "first"
    assert left.channels == (0,)


class Viewed(nn.Module):
    """Depends on the memory layout of what a convolution gives."""

    def __init__(self):
        super().__init__()
        self.conv, self.last = nn.Conv2d(3, 4, 3), nn.Linear(36, 2)

    def forward(self, x):
        x = self.conv(x)
        return self.last(x.view(len(x), -1))


def test_a_view_in_place_of_a_flatten(kill, shrunk):
    model = Viewed()
    kill(model.conv, [3])
    smaller, _ = shrunk(model, torch.randn(2, 3, 5, 5), torch.randn(1, 3, 5, 5))
    assert smaller.last.in_features == 27
