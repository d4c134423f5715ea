"""What shrink and resize_model_ refuse, and in which words."""

import copy
import sys

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from slrprune.deploy.shrink import resize_model_, shrink
from slrprune.errors import ArgumentError, MissingExtraError, NonFiniteError, StateError, UsageError


def chain() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))


def test_torch_pruning_is_an_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_pruning", None)
    with pytest.raises(MissingExtraError, match=r"shrink needs torch-pruning. Install it with: .*slrprune\[shrink\]"):
        shrink(chain(), torch.randn(2, 4))


@pytest.mark.parametrize("example", [torch.randn(2, 5), (torch.randn(2, 4), 1), {"x": torch.randn(2, 4)}, None])
def test_an_example_that_the_model_does_not_take(example):
    with pytest.raises(
        ArgumentError, match=r"example_inputs must be what the model takes, on its device: .*dict keyword"
    ):
        shrink(chain(), example)


def test_a_network_cut_in_two(kill):
    model = chain()
    kill(model[2], [0, 1])
    with pytest.raises(UsageError, match=r"does not depend on its input, since all weights of 2 are zero. Prune again"):
        shrink(model, torch.randn(2, 4))


def test_nan_on_the_example(kill):
    model = chain()
    with torch.no_grad():
        model[0].weight[0, 0] = torch.nan
    with pytest.raises(NonFiniteError, match="the model's output on the example is not finite"):
        shrink(model, torch.randn(2, 4))


class Deeper(nn.Module):
    """As many layers as the first value says."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        for _ in range(int(x[0, 0]) + 1):
            x = self.layer(x)
        return x


class Choosing(nn.Module):
    """Another layer for NaN than for numbers."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        return self.one(x) if x.abs().sum() >= 0 else self.two(x)


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        (Deeper(), r"for others it fails \(ValueError: cannot convert float NaN to integer\)"),
        (Choosing(), "for others it calls other modules"),
    ],
)
def test_dynamic_control_flow(model, problem):
    with pytest.raises(UsageError, match=f"the forward pass depends on the values of the input: {problem}. Shrink the"):
        shrink(model, torch.zeros(2, 4))


class Noisy(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        return self.layer(x + torch.randn_like(x))


def test_a_random_forward_pass():
    with pytest.raises(UsageError, match=r"two passes over the example in eval mode give different outputs. Remove"):
        shrink(Noisy(), torch.randn(2, 4))


class Detached(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    @torch.no_grad()
    def forward(self, x):
        return self.layer(x)


def test_a_forward_pass_without_gradients():
    with pytest.raises(UsageError, match=r"depends on its parameters by way of autograd. Remove torch.no_grad"):
        shrink(Detached(), torch.randn(2, 4))


def test_masks_that_are_not_permanent():
    model = chain()
    prune.ln_structured(model[0], "weight", 0.5, n=2, dim=0)
    with pytest.raises(
        UsageError, match=r"0 still has masks of torch.nn.utils.prune. .*prune.remove\(module, 'weight'\)"
    ):
        shrink(model, torch.randn(2, 4))


def test_parametrizations():
    model = chain()
    parametrizations.weight_norm(model[2])
    with pytest.raises(UsageError, match=r"2 has parametrizations. .*remove_parametrizations"):
        shrink(model, torch.randn(2, 4))


def test_a_model_that_cannot_be_copied():
    model = chain()
    model.cache = model[0](torch.randn(1, 4))
    with pytest.raises(UsageError, match=r"the model cannot be copied .*Detach the tensors"):
        shrink(model, torch.randn(2, 4))


def test_outputs_that_differ_after_all(monkeypatch, kill):
    """The last check is made on what is handed over, whatever went before."""
    from slrprune.deploy.shrink import shrink as package

    module = sys.modules[package.__module__]
    give_back = module.give_back

    def spoiled(work, original):
        result = give_back(work, original)
        with torch.no_grad():
            result[2].bias += 1
        return result

    monkeypatch.setattr(module, "give_back", spoiled)
    with pytest.raises(UsageError, match=r"the smaller model's outputs differ by .* relative, more than 1.0e-05"):
        shrink(chain(), torch.randn(2, 4))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"0.wait": (3, 4)}, r"the model has no tensor 0.wait. The closest names are 0.weight"),
        ({"0.weight": None}, r"no shape is given for 0.weight. Give those of a whole state dict"),
        ({"0.weight": (7, 4)}, r"0.weight has shape \(6, 4\) and cannot become \(7, 4\). Build the model as"),
        ({"0.weight": (6, 4, 1)}, r"0.weight has shape \(6, 4\) and cannot become \(6, 4, 1\)"),
        ({"0.weight": (0, 4)}, r"0.weight has shape \(6, 4\) and cannot become \(0, 4\)"),
        ({"3.weight": (1,)}, r"3.weight has shape \(2,\) and cannot become \(1,\): shrink never cuts a LayerNorm"),
    ],
)
def test_shapes_that_do_not_fit(change, message):
    model = chain().append(nn.LayerNorm(2))
    before = copy.deepcopy(model)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()} | {"2.bias": (1,)} | change
    shapes = {name: shape for name, shape in shapes.items() if shape is not None}
    with pytest.raises(StateError, match=message):
        resize_model_(model, shapes)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), before.parameters(), strict=True))


def test_a_search_that_does_not_end(monkeypatch):
    """Attention whose keys serve two queries each: torch-pruning finds new sets of indices without end."""
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        vocab_size=16,
        hidden_size=16,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
        use_cache=False,
    )
    model = transformers.LlamaForCausalLM(config)
    monkeypatch.setattr(sys.modules["slrprune.deploy.shrink.trace"], "SEARCH_LIMIT", 1.0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(UsageError, match=r"did not find out within 1 s which channels belong together. .*save_sparse"):
        shrink(model, torch.zeros(1, 4, dtype=torch.long))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
