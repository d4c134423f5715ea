"""Models that work in place are pruned like their twins that do not."""

import pytest
import torch
from torch import nn

from slrprune.errors import UsageError
from slrprune.oneshot import SLR, LayerProblem, prune
from slrprune.sets import Global, Unstructured


class Block(nn.Module):
    """A residual block, whose two layers read the same input; in place or not."""

    def __init__(self, in_place):
        super().__init__()
        self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 8)
        self.in_place = in_place

    def forward(self, x):
        branch = torch.relu(self.a(x)) + self.b(x)
        if not self.in_place:
            return x + branch
        x += branch
        return x


class Net(nn.Module):
    """A stem and blocks, of which each gets what the one before returns."""

    def __init__(self, in_place):
        super().__init__()
        self.stem = nn.Identity()
        self.blocks = nn.ModuleList(Block(in_place) for _ in range(3))

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return x


def build(kind, *arguments):
    torch.manual_seed(0)
    return kind(*arguments).eval()


@pytest.fixture
def data():
    return [torch.randn(40, 8, generator=torch.Generator().manual_seed(1)) for _ in range(2)]


def assert_same(model, report, twin, expected):
    assert [record.error for record in report.layers] == pytest.approx([record.error for record in expected.layers])
    for (name, one), other in zip(model.named_parameters(), twin.named_parameters(), strict=True):
        torch.testing.assert_close(one, other[1], msg=name)


@pytest.mark.parametrize("blocks", [None, ""])
@pytest.mark.parametrize("rules", [Unstructured(0.5), Global(0.5)], ids=repr)
def test_blocks_in_place_are_pruned_as_blocks_out_of_place(rules, blocks, data):
    model, twin = build(Net, True), build(Net, False)
    before = [batch.clone() for batch in data]
    report = prune(model, data, rules, blocks=blocks)
    assert all(torch.equal(batch, old) for batch, old in zip(data, before, strict=True))
    assert_same(model, report, twin, prune(twin, before, rules, blocks=blocks))


def test_batches_of_several_tensors_stay_as_they_are(data):
    class Two(Net):
        def forward(self, x, y):
            return super().forward(x.add_(y))

    expected = [[batch.clone(), torch.ones(8)] for batch in data]
    prune(build(Two, True), [[batch, torch.ones(8)] for batch in data], Unstructured(0.5))
    prune(build(Two, True), [{"x": batch, "y": torch.ones(8)} for batch in data], Unstructured(0.5))
    assert all(torch.equal(batch, old) for batch, (old, _) in zip(data, expected, strict=True))


def test_a_second_pass_over_a_block_gets_the_same_hidden_states(data):
    class Fork(Block):
        """Its layers share their input in the first batch only, so that H takes two passes."""

        def forward(self, x):
            x += self.a(x) + self.b(x if x.shape[0] == 40 else 2 * x)
            return x

    model = build(lambda: nn.Sequential(Fork(True), Fork(True)))
    weight = model[0].b.weight.detach().clone()
    batches = [data[0], data[1][:20]]
    prune(model, batches, {"0.b": Unstructured(0.5)})
    x = torch.cat([batches[0], 2 * batches[1]])
    expected = SLR().solve(LayerProblem(weight, x.mT @ x / 60), Unstructured(0.5)).weight
    torch.testing.assert_close(model[0].b.weight.detach(), expected, rtol=1e-3, atol=1e-4)


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


def test_inference_mode_where_torch_counts_no_changes(data):
    model, twin = build(Net, True), build(Net, False)
    with torch.inference_mode():
        report = prune(model, data, Unstructured(0.5))
    assert_same(model, report, twin, prune(twin, data, Unstructured(0.5)))


class Gathering(nn.Module):
    """A block that changes another argument in place."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(8, 8)

    def forward(self, x, total):
        total += x
        return torch.relu(self.fc(total))


class Gathered(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(Gathering() for _ in range(3))

    def forward(self, x):
        total = torch.zeros_like(x)
        for block in self.blocks:
            x = block(x, total)
        return x


class Doubled(Net):
    """Hidden states that change in place between two blocks."""

    def forward(self, x):
        for block in self.blocks:
            x = block(x).mul_(2)
        return x


@pytest.mark.parametrize("kind", [Gathered, lambda: Doubled(False)], ids=["argument", "between"])
def test_blocks_between_which_tensors_change_in_place_are_no_chain(kind, data):
    model, twin = build(kind), build(kind)
    report = prune(model, data, Unstructured(0.5))
    assert_same(model, report, twin, prune(twin, data, Unstructured(0.5), blocks=""))
    with pytest.raises(UsageError, match=r"are not a chain: .* or another of its arguments is changed in place. Give"):
        prune(build(kind), data, Unstructured(0.5), blocks="blocks")
