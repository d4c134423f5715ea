"""Models that work in place are pruned like their twins that do not."""

import pytest
import torch
from torch import nn

from slrprune.oneshot import SLR, LayerProblem, prune
from slrprune.sets import Unstructured


def build(kind, *arguments):
    torch.manual_seed(0)
    return kind(*arguments).eval()


@pytest.fixture
def data():
    return [torch.randn(40, 8, generator=torch.Generator().manual_seed(1)) for _ in range(2)]


@pytest.mark.parametrize("always", [True, False])
def test_layers_do_not_share_h_where_their_input_changes_in_place_in_between(always, data):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, x):
            x = x * 1.0
            y = self.a(x)
            if always or x.shape[0] == 20:  # else only a later call contradicts the first
                x.relu_()
            return y + self.b(x)

    model = build(lambda: nn.Sequential(Two(), Two()))
    weight = model[0].b.weight.detach().clone()
    batches = [data[0], data[1][:20]]
    prune(model, batches, {"0.*": Unstructured(0.5)})
    x = torch.cat([batches[0].relu() if always else batches[0], batches[1].relu()])
    expected = SLR().solve(LayerProblem(weight, x.mT @ x / 60), Unstructured(0.5)).weight
    torch.testing.assert_close(model[0].b.weight.detach(), expected, rtol=1e-3, atol=1e-4)
