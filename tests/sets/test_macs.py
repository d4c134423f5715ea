"""Costs per weight, against counts by hand."""

import pytest
import torch
from torch import nn

from slrprune.errors import ArgumentError
from slrprune.macs import macs_per_weight
from slrprune.sets import Global
from slrprune.sets.knapsack import Knapsack


def weights_of(model):
    return {name: p for name, p in model.named_parameters() if p.ndim > 1}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=2)
        self.norm = nn.BatchNorm2d(8)
        self.up = nn.ConvTranspose2d(8, 2, 2, stride=2)
        self.head = nn.Linear(2, 5)
        self.unused = nn.Linear(3, 3)

    def forward(self, x):
        x = self.up(self.norm(self.conv(x)))
        tokens = x.flatten(2).transpose(1, 2)
        return self.head(tokens), self.head(tokens[:, :1])


def test_by_hand():
    model = Net()
    weights = weights_of(model)
    unused = weights.pop("unused.weight")
    costs = macs_per_weight(model, weights, torch.randn(2, 4, 8, 8))
    # 2 images: 4 x 4 outputs of conv, 4 x 4 inputs of up, 64 + 1 tokens for head, which is called twice
    assert costs == (2 * 16, 2 * 16, 2 * (64 + 1))
    with pytest.raises(ArgumentError, match=r"example_input must make the model use unused\.weight in a convolution"):
        macs_per_weight(model, {"unused.weight": unused}, torch.randn(2, 4, 8, 8))


def test_model_is_left_as_it_was():
    model = Net().train()
    model.up.eval()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    for wrong in (torch.randn(2, 4, 8, 8), torch.randn(2, 5, 8, 8)):
        try:
            macs_per_weight(model, {}, wrong)
        except RuntimeError:  # of the model itself: 5 channels
            assert wrong.shape[1] == 5
        assert (model.training, model.norm.training, model.up.training) == (True, True, False)
        assert not any(module._forward_hooks for module in model.modules())
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


@pytest.mark.parametrize("batch_first", [False, True])
def test_attention(batch_first):
    model = nn.MultiheadAttention(8, 2, kdim=6, batch_first=batch_first)
    query, key, value = torch.randn(3, 5, 8), torch.randn(3, 7, 6), torch.randn(3, 7, 8)
    if not batch_first:
        query, key, value = (x.transpose(0, 1) for x in (query, key, value))
    names = ["q_proj_weight", "k_proj_weight", "out_proj.weight"]
    weights = {name: model.get_parameter(name) for name in names}
    assert macs_per_weight(model, weights, (query, key, value)) == (15, 21, 15)
    assert macs_per_weight(model, weights, {"query": query, "key": key, "value": value}) == (15, 21, 15)


def test_attention_over_other_tokens():
    model = nn.MultiheadAttention(8, 2)
    inputs = torch.randn(5, 3, 8), torch.randn(7, 3, 8), torch.randn(7, 3, 8)
    assert macs_per_weight(model, weights_of(model), inputs) == ((15 + 21 + 21) // 3, 15)


def test_encoder_layer_with_its_fast_path():
    model = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    weights = weights_of(model)
    assert macs_per_weight(model, weights, torch.randn(2, 7, 8)) == (14,) * len(weights)


def test_conv1d_of_transformers_by_name():
    class Conv1D(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(4, 6))

        def forward(self, x):
            return x @ self.weight

    model = nn.Sequential(Conv1D())
    assert macs_per_weight(model, weights_of(model), torch.randn(2, 3, 4)) == (6,)


@pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated:FutureWarning")
def test_weights_that_are_computed_from_others_are_no_obstacle():
    new, old = nn.utils.parametrizations.weight_norm, nn.utils.weight_norm
    model = nn.Sequential(nn.Linear(8, 6), new(nn.Linear(6, 4)), old(nn.Linear(4, 4)), nn.MultiheadAttention(4, 1))
    nn.utils.parametrizations.orthogonal(model[3].out_proj)
    model.forward = lambda x: model[3](*[model[:3](x)] * 3)
    weights = {name: model.get_parameter(name) for name in ("0.weight", "3.in_proj_weight")}
    assert macs_per_weight(model, weights, torch.randn(2, 5, 8)) == (10, 10)


def test_budget_in_macs_becomes_a_knapsack():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 36, 10))
    weights = weights_of(model)
    budget = Global(macs=4000, example_input=torch.randn(1, 3, 8, 8), floor=0.2)
    bound = budget.bind(model, {name: w.detach() for name, w in weights.items()})
    assert bound == Knapsack(4000, (36, 1), floor=0.2)
    dense = 36 * 216 + 2880
    for progress, most in ((0, dense), (0.5, (dense + 4000) // 2), (1, 4000)):
        price = bound.at(progress).price(bound.at(progress).masks(list(weights.values())))
        assert most - 36 < price <= most
    with pytest.raises(ArgumentError, match=r"Global\(macs=36\): macs must be from 37 .* to 10656"):
        Global(macs=36, example_input=torch.randn(1, 3, 8, 8)).bind(model, weights)
