"""What the passes on NaN and on noise find out."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from slrprune.deploy.shrink import shrink
from slrprune.deploy.shrink.probe import noise, probe

ACTIVATIONS = [
    nn.ReLU(), nn.ReLU6(), nn.LeakyReLU(), nn.PReLU(), nn.RReLU(), nn.ELU(), nn.SELU(), nn.CELU(), nn.GELU(),
    nn.GELU("tanh"), nn.SiLU(), nn.Mish(), nn.Hardswish(), nn.Hardsigmoid(), nn.Hardtanh(), nn.Sigmoid(), nn.Tanh(),
    nn.Softplus(), nn.Softsign(), nn.LogSigmoid(), nn.Hardshrink(), nn.Softshrink(), nn.Tanhshrink(),
    nn.Threshold(0.1, 20), nn.MaxPool2d(2), nn.AvgPool2d(2), nn.AdaptiveMaxPool2d(1), nn.LPPool2d(2, 2),
    nn.Upsample(scale_factor=2), nn.Upsample(scale_factor=2, mode="bilinear"), nn.Dropout2d(), nn.ChannelShuffle(1),
]  # fmt: skip


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=repr)
def test_dependence_passes_every_activation_and_stays_in_its_channel(activation):
    model = nn.Sequential(nn.Conv2d(2, 4, 1), activation, nn.Conv2d(4, 1, 1)).double().eval()
    with torch.no_grad():
        model[0].weight[[0, 3]] = 0
    images = torch.randn(2, 2, 6, 6, dtype=torch.float64)
    findings = probe(model, images)
    reading = findings.readings["2"]
    assert reading.depends.tolist() == [False, True, True, False]
    expected = activation(model[0].bias.detach().view(1, 4, 1, 1).expand(1, 4, 6, 6)).amax((0, 2, 3))
    torch.testing.assert_close(reading.constants()[[0, 3]], expected[[0, 3]])
    assert reading.constants()[1:3].isnan().all()
    assert findings.output_depends


class Step(nn.Module):
    """Compares some neurons with zero: NaN is above nothing, so that these look as if they never fired."""

    def __init__(self, step):
        super().__init__()
        self.plain, self.stepped, self.last, self.step = nn.Linear(4, 2), nn.Linear(4, 3), nn.Linear(5, 2), step

    def forward(self, x):
        return self.last(torch.cat([self.plain(x), self.step(self.stepped(x))], 1))


@pytest.mark.parametrize(
    "step",
    [lambda x: (x > 0).to(x), lambda x: torch.where(x > 0, 1.0, 0.0).to(x), lambda x: F.relu(x.nan_to_num())],
)
def test_comparisons_make_no_constants(step):
    model = Step(step)
    with torch.no_grad():
        model.stepped.bias.fill_(-10)  # they do not fire on the example, nor on a shuffled one, but might
    _, report = shrink(model, torch.randn(1, 4))
    assert report.layers == ()


def test_noise_has_both_signs_and_is_the_same_again():
    like = torch.zeros(1000)
    plus, again, minus = noise(1)(like), noise(1)(like), noise(-1)(like)
    assert torch.equal(plus, again)
    assert torch.equal(plus, -minus)
    assert 0.4 < (plus > 0).float().mean() < 0.6


def test_global_random_numbers_stay(kill):
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
    kill(model[0], [1])
    example, state = torch.randn(2, 4), torch.get_rng_state()
    shrink(model, example)
    assert torch.equal(state, torch.get_rng_state())


def test_all_calls_of_a_layer_matter():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 2)

        def forward(self, x):
            return self.layer(self.layer(torch.zeros_like(x))) + self.layer(x)

    findings = probe(Twice(), torch.randn(1, 2))
    assert findings.readings["layer"].depends.all()
