"""Whole models: blocks, single layers, budgets, bad input."""

import logging

import pytest
import torch
from torch import nn

from slrprune.errors import ArgumentError, DataError, NonFiniteError, RuleError, ShapeError, UsageError
from slrprune.oneshot import SLR, LayerProblem, Magnitude, PerRow, Refitted, SparseGPT, Wanda, prune
from slrprune.sets import NM, Global, Unstructured


class Block(nn.Module):
    """A residual block with two layers that read the same input."""

    def __init__(self, width=16):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.gate = nn.Linear(width, 2 * width)
        self.up = nn.Linear(width, 2 * width)
        self.down = nn.Linear(2 * width, width)

    def forward(self, hidden, scale=1.0):
        x = self.norm(hidden)
        return hidden + scale * self.down(torch.sigmoid(self.gate(x)) * self.up(x))


class Chained(nn.Module):
    """Embedding, blocks with an argument of their own, head."""

    def __init__(self, blocks=3):
        super().__init__()
        self.stem = nn.Linear(8, 16)
        self.blocks = nn.ModuleList(Block() for _ in range(blocks))
        self.head = nn.Linear(16, 4)

    def forward(self, x):
        hidden = self.stem(x)
        for number, block in enumerate(self.blocks):
            hidden = block(hidden, scale=1.0 + number)
        return self.head(hidden)


@pytest.fixture
def model():
    return Chained().eval()


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(3)
    mixing = torch.randn(8, 8, generator=generator)
    return [torch.randn(4, 12, 8, generator=generator) @ mixing for _ in range(3)]


def errors(model, dense, data):
    with torch.no_grad():
        pairs = [(model(batch), dense(batch)) for batch in data]
    total = sum(float(truth.square().sum()) for _, truth in pairs)
    return sum(float((out - truth).square().sum()) for out, truth in pairs) / total


def dense_copy(seed=0):
    torch.manual_seed(seed)
    return Chained().eval()


def test_a_chain_is_walked_in_order_with_the_inputs_that_the_pruned_part_makes(data):
    model, dense = dense_copy(), dense_copy()
    report = prune(model, data, Unstructured(0.5))
    names = [record.name for record in report.layers]
    assert names[0] == "stem.weight"
    assert names[-1] == "head.weight"
    assert names[1:4] == [f"blocks.0.{name}.weight" for name in ("gate", "up", "down")]
    assert all(record.samples == 3 * 4 * 12 for record in report.layers)
    assert report.sparsity == pytest.approx(0.5, abs=1e-3)
    # The problem of a layer in the last block, by hand: inputs from the pruned model up to there.
    seen = []
    hook = model.blocks[2].gate.register_forward_pre_hook(lambda module, args: seen.append(args[0].flatten(0, 1)))
    with torch.no_grad():
        for batch in data:
            model(batch)
    hook.remove()
    x = torch.cat(seen).double()
    problem = LayerProblem(dense.blocks[2].gate.weight.detach(), x.mT @ x / len(x))
    expected = SLR().solve(problem, Unstructured(0.5))
    torch.testing.assert_close(model.blocks[2].gate.weight.detach(), expected.weight, rtol=1e-3, atol=1e-4)
    record = report.layers[names.index("blocks.2.gate.weight")]
    assert record.error == pytest.approx(problem.error(expected.weight), rel=1e-3)


def test_block_by_block_equals_layer_by_layer_where_blocks_are_single_layers(data):
    def build():
        torch.manual_seed(0)
        return nn.Sequential(*(nn.Linear(8, 8) for _ in range(4))).eval()

    chained, single = build(), build()
    prune(chained, data, Unstructured(0.5))
    report = prune(single, data, Unstructured(0.5), blocks="")
    assert [record.name for record in report.layers] == [f"{number}.weight" for number in range(4)]
    for one, other in zip(chained.parameters(), single.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("solver", [SLR(), SparseGPT(), Wanda(), Magnitude()], ids=lambda s: type(s).__name__)
def test_the_error_of_a_record_is_that_of_the_layers_outputs(solver, data):
    dense, model = dense_copy(), dense_copy()
    record = prune(model, data, {"stem": Unstructured(0.5)}, solver).layers[0]
    with torch.no_grad():
        before = torch.cat([dense.stem(batch) for batch in data]) - dense.stem.bias
        after = torch.cat([model.stem(batch) for batch in data]) - dense.stem.bias
    assert record.error == pytest.approx(float((after - before).square().sum() / before.square().sum()), rel=1e-3)


def test_slr_disturbs_the_outputs_less_than_the_rivals(data):
    found = {}
    for solver in (SLR(), SparseGPT(), Wanda(), Magnitude()):
        model = dense_copy()
        prune(model, data, {"head": None, "*": Unstructured(0.6)}, solver)
        found[type(solver).__name__] = errors(model, dense_copy(), data)
    assert found["SLR"] < min(found["SparseGPT"], found["Wanda"], found["Magnitude"])


def test_layers_that_share_their_input_share_h(model, data, monkeypatch):
    from slrprune.oneshot.gram import Gram

    added = []
    original = Gram.add
    monkeypatch.setattr(Gram, "add", lambda self, inputs: (added.append(self._name), original(self, inputs))[1])
    prune(model, data, {"blocks.*": Unstructured(0.5)})
    assert added.count("blocks.0.gate.weight") == 3
    assert added.count("blocks.0.up.weight") == 0
    assert added.count("blocks.0.down.weight") == 3


def test_inputs_that_are_shared_only_at_first_are_told_apart():
    class Fork(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(6, 6), nn.Linear(6, 6)
            self.calls = 0

        def forward(self, x):
            self.calls += 1
            return self.a(x) + self.b(x if x.shape[0] == 9 else 2 * x)

    batches = [torch.randn(9, 6), torch.randn(20, 6)]
    model = nn.Sequential(Fork(), Fork()).eval()
    weight = model[0].b.weight.detach().clone()
    prune(model, batches, {"0.b": Unstructured(0.5)})
    x = torch.cat([batches[0], 2 * batches[1]])
    expected = SLR().solve(LayerProblem(weight, x.mT @ x / 29), Unstructured(0.5)).weight
    torch.testing.assert_close(model[0].b.weight.detach(), expected, rtol=1e-3, atol=1e-4)


def test_convolutions_see_their_patches(data):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, padding_mode="reflect"),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, stride=2, dilation=2, groups=4),
        nn.ReLU(),
        nn.Conv2d(8, 6, (1, 3), padding="same"),
        nn.Flatten(),
    ).eval()
    import copy

    dense, images = copy.deepcopy(model), [torch.rand(4, 3, 12, 12) for _ in range(2)]
    report = prune(model, images, Unstructured(0.5))
    with torch.no_grad():
        truth, out = (net[1](net[0](images[0])) for net in (dense, model))
    first = report.layers[0]
    with torch.no_grad():
        before = torch.cat([dense[0](batch) for batch in images]) - dense[0].bias[:, None, None]
        after = torch.cat([model[0](batch) for batch in images]) - model[0].bias[:, None, None]
    assert first.error == pytest.approx(float((after - before).square().sum() / before.square().sum()), rel=1e-3)
    assert [record.samples for record in report.layers] == [8 * 144, 8 * 16, 8 * 16]
    assert truth.shape == out.shape
    assert (report.layers[1].numel, report.layers[1].nnz) == (144, 72)


def test_a_convolution_over_time_and_a_volume():
    for conv, shape in ((nn.Conv1d(4, 6, 3, padding=1), (2, 4, 9)), (nn.Conv3d(2, 3, 2), (2, 2, 4, 4, 4))):
        model, batch = nn.Sequential(conv).eval(), torch.randn(shape)
        weight = conv.weight.detach().clone()
        record = prune(model, [batch], Unstructured(0.5), blocks="").layers[0]
        with torch.no_grad():
            after = conv(batch) - conv.bias.view(-1, *[1] * (len(shape) - 2))
            pruned = conv.weight.clone()
            conv.weight.copy_(weight)
            before = conv(batch) - conv.bias.view(-1, *[1] * (len(shape) - 2))
            conv.weight.copy_(pruned)
        assert record.error == pytest.approx(float((after - before).square().sum() / before.square().sum()), rel=1e-3)


def test_a_tied_weight_answers_to_all_its_uses(data):
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False)
            self.b.weight = self.a.weight

        def forward(self, x):
            return self.b(torch.relu(self.a(x)))

    torch.manual_seed(0)
    model = Tied().eval()
    weight = model.a.weight.detach().clone()
    report = prune(model, data, Unstructured(0.5))
    assert model.a.weight is model.b.weight
    assert [record.samples for record in report.layers] == [2 * 144]
    x = torch.cat(data).flatten(0, 1)
    rows = torch.cat([x, torch.relu(x @ weight.t())])
    expected = SLR().solve(LayerProblem(weight, rows.mT @ rows / len(rows)), Unstructured(0.5)).weight
    torch.testing.assert_close(model.a.weight.detach(), expected, rtol=1e-3, atol=1e-4)


def test_a_weight_tied_to_an_embedding_is_refused(data):
    model = nn.ModuleDict({"embed": nn.Embedding(8, 8), "head": nn.Linear(8, 8, bias=False)}).eval()
    model["head"].weight = model["embed"].weight
    with pytest.raises(UsageError, match="one-shot pruning knows linear layers and convolutions, not Embedding"):
        prune(model, [torch.arange(3)], {"head.weight": Unstructured(0.5)})


def test_one_budget_for_all_layers_keeps_the_total_and_lowers_the_sum_of_errors(data):
    even, shared = dense_copy(), dense_copy()
    uniform = prune(even, data, Unstructured(0.6))
    priced = prune(shared, data, Global(0.6))
    total = sum(record.numel for record in priced.layers)
    assert sum(record.nnz for record in priced.layers) == total - round(0.6 * total)
    assert len({round(record.sparsity, 2) for record in priced.layers}) > 2
    assert sum(r.error for r in priced.layers) < sum(r.error for r in uniform.layers)
    by_shape = prune(dense_copy(), data, Global(0.6, allocation="uniform"))
    assert all(abs(record.sparsity - 0.6) < 0.01 for record in by_shape.layers)


@pytest.mark.parametrize("rules", [PerRow(0.5), NM(2, 4), {"blocks.*": NM(2, 4), "*": Unstructured(0.3)}], ids=repr)
def test_other_sets_hold_after_the_walk(rules, model, data):
    report = prune(model, data, rules, Refitted(Wanda()))
    constraint = rules["blocks.*"] if isinstance(rules, dict) else rules
    for block in model.blocks:
        assert constraint.contains(block.gate.weight)
        assert constraint.contains(block.down.weight)
    assert "blocks.0.gate.bias" in [entry.name for entry in report.skipped]


def test_the_report_reads_as_a_table(model, data):
    seen = []
    report = prune(model, data, {"blocks.*": NM(2, 4)}, progress=seen.append)
    text = str(report)
    assert "blocks.1.down.weight" in text
    assert "9 layers, 50.00% zeros, mean relative error" in text
    assert [(each.stage, each.number, each.total) for each in seen] == [
        ("blocks.0", 1, 3),
        ("blocks.1", 2, 3),
        ("blocks.2", 3, 3),
    ]
    assert sum(len(each.layers) for each in seen) == 9
    assert report.peak_bytes is None or report.peak_bytes > 10 * 2**20


def test_few_rows_are_mentioned_once(model, data, caplog):
    with caplog.at_level(logging.WARNING, logger="slrprune"):
        report = prune(model, [data[0][:, :2]], Unstructured(0.5))
    assert len(caplog.messages) == 1
    assert "8 calibration rows for 16 inputs, so H is singular and is damped" in caplog.messages[0]
    assert report.notes == tuple(caplog.messages)
    assert all(torch.isfinite(p).all() for p in model.parameters())


def test_a_model_in_training_mode_is_refused(model, data):
    with pytest.raises(UsageError, match=r"the model is in training mode, and dropout would spoil H. Call model.eval"):
        prune(model.train(), data, Unstructured(0.5))


def test_no_calibration_rows_are_refused(model):
    with pytest.raises(DataError, match=r"prune\(calibration\): holds no batch"):
        prune(model, [], Unstructured(0.5))
    with pytest.raises(DataError, match=r"batch 1 holds no rows. Leave it out"):
        prune(model, [torch.randn(2, 8), torch.randn(0, 8)], Unstructured(0.5))


def test_calibration_that_the_model_does_not_take_is_refused(model, data):
    with pytest.raises(
        ArgumentError, match=r"prune\(calibration=.*, 8\)\): .* not one tensor\. Put a single batch into"
    ):
        prune(model, data[0], Unstructured(0.5))
    pairs = [(data[0], torch.zeros(len(data[0])))]
    message = (
        r"prune\(calibration\): holds what the model does not take \(TypeError: .* a dict keyword arguments: no labels"
    )
    with pytest.raises(DataError, match=message):
        prune(model, pairs, Unstructured(0.5))


def test_nan_activations_are_refused_with_the_layer(model, data):
    with torch.no_grad():
        model.blocks[1].norm.weight[0] = torch.nan
    before = model.blocks[2].gate.weight.clone()
    with pytest.raises(NonFiniteError, match=r"blocks.1.gate.weight: an activation .* is not finite. Check the calib"):
        prune(model, data, {"blocks.*": Unstructured(0.5)})
    assert torch.equal(model.blocks[2].gate.weight, before)


def test_a_layer_that_is_never_called_is_refused(model, data):
    model.spare = nn.Linear(4, 4)
    with pytest.raises(DataError, match=r"spare.weight: the layer was never called during calibration. Calibrate"):
        prune(model, data, Unstructured(0.5))
    model.blocks[1].spare = nn.Linear(4, 4)
    with pytest.raises(DataError, match=r"blocks.1.spare.weight: the layer was never called"):
        prune(model, data, {"blocks.*": Unstructured(0.5)})


def test_rules_that_do_not_fit_are_refused_before_anything_is_done(model, data):
    before = [p.clone() for p in model.parameters()]
    with pytest.raises(ShapeError, match=r"stem.weight: NM\(2, 3\) needs shape\[1\] divisible by 3"):
        prune(model, data, NM(2, 3))
    with pytest.raises(RuleError, match="one-shot pruning shares a budget of weights, bytes or a sparsity"):
        prune(model, data, Global(macs=500, example_input=data[0]))
    with pytest.raises(UsageError, match=r"the model's parameters are on meta. Say with weights="):
        prune(Chained().to("meta").eval(), data, Unstructured(0.5))
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True))
    transposed = nn.Sequential(nn.ConvTranspose1d(8, 4, 3)).eval()
    with pytest.raises(UsageError, match=r"0.weight: one-shot pruning knows linear layers and convolutions, not Conv"):
        prune(transposed, data, Unstructured(0.5))


def test_blocks_that_are_none_are_refused(model, data):
    with pytest.raises(UsageError, match=r"prune\(blocks='block'\): no ModuleList or Sequential of this name"):
        prune(model, data, Unstructured(0.5), blocks="block")

    class Skipping(Chained):
        def forward(self, x):
            hidden = self.stem(x)
            return self.head(self.blocks[1](self.blocks[0](hidden) + hidden))

    skipping = Skipping(2).eval()
    with pytest.raises(UsageError, match=r"prune\(blocks='blocks'\): its modules are not a chain"):
        prune(skipping, data, Unstructured(0.5), blocks="blocks")
    report = prune(skipping, data, Unstructured(0.5))  # by itself it falls back to single layers
    assert [record.name for record in report.layers[:3]] == [
        "stem.weight",
        "blocks.0.gate.weight",
        "blocks.0.up.weight",
    ]
