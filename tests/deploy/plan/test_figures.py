"""What plan predicts, against what the same steps give when really done."""

import copy

import pytest
import torch
from torch import nn

import slrprune as slr
from slrprune.deploy import save_sparse
from slrprune.deploy.plan import plan
from slrprune.tasks.resnet_cifar import ResNetCifar


class Net(nn.Module):
    """Two convolutions with BatchNorm, a linear layer, attention."""

    def __init__(self):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16)
        self.conv2, self.norm2 = nn.Conv2d(16, 32, 3, 2), nn.BatchNorm2d(32)
        self.attention, self.head = nn.MultiheadAttention(32, 2, batch_first=True), nn.Linear(32, 10)

    def forward(self, x):
        x = torch.relu(self.norm1(self.conv1(x)))
        x = torch.relu(self.norm2(self.conv2(x))).flatten(2).transpose(1, 2)
        return self.head(self.attention(x, x, x)[0].mean(1))


EXAMPLE = torch.randn(2, 3, 9, 9, generator=torch.Generator().manual_seed(0))


def test_work_by_hand(invented):
    report = plan(Net(), {"conv1": None, "*": slr.Unstructured(0.75)}, EXAMPLE, timer=invented())
    dense = {row.name: row.dense_macs for row in report.rows}
    tokens = 2 * 4 * 4
    assert dense == {
        "conv1.weight": 2 * 9 * 9 * 16 * 3 * 9,
        "conv2.weight": tokens * 32 * 16 * 9,
        "attention.in_proj_weight": tokens * 3 * 32 * 32,
        "attention.out_proj.weight": tokens * 32 * 32,
        "head.weight": 2 * 10 * 32,
    }
    for row in report.rows:
        kept = 1 if row.name == "conv1.weight" else 0.25
        assert row.macs == kept * row.dense_macs
        assert row.sparsity == 1 - kept
    assert report.macs == sum(row.macs for row in report.rows)
    assert report.dense_macs == sum(dense.values())


def test_file_size_of_a_really_pruned_network(data_dir, tmp_path, invented):
    """The public ResNet-20, pruned at once by magnitude: its trained values, not drawn ones."""
    checkpoint = next(iter(sorted(data_dir.rglob("resnet20*.th"))), None)
    if checkpoint is None:
        pytest.skip(f"needs resnet20*.th below {data_dir}")
    from slrprune.tasks.weights_file import load_checkpoint

    model = ResNetCifar(20)
    model.load_state_dict(load_checkpoint(checkpoint))
    report = plan(model, slr.Unstructured(0.9), torch.randn(1, 3, 32, 32), timer=invented())
    names = [row.name for row in report.rows]
    for name, parameter in model.named_parameters():
        if name in names:
            parameter.data = slr.Unstructured(0.9).project(parameter)
    real = save_sparse(model, tmp_path / "model.safetensors")
    assert report.file_bytes == pytest.approx(real, rel=0.03)
    assert report.compression_ratio == pytest.approx(report.dense_bytes / real, rel=0.03)


@pytest.mark.parametrize("rules", [slr.Unstructured(0.9), slr.NM(1, 4), slr.Block((4, 1), 0.8), slr.Channel(0.5)])
def test_file_size_of_pruned_laplace_weights(rules, tmp_path, invented):
    model = nn.Sequential(nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 64)).eval()
    report = plan(model, rules, torch.randn(1, 256), timer=invented())
    for layer in (model[0], model[2]):
        values = torch.distributions.Laplace(0, 0.02).sample(layer.weight.shape)
        layer.weight.data = rules.project(values)
    real = save_sparse(model, tmp_path / "model.safetensors")
    assert report.file_bytes == pytest.approx(real, rel=0.03)
    assert sum(row.file_bytes for row in report.rows) < report.file_bytes
    assert report.dense_bytes == sum(tensor.nbytes for tensor in model.state_dict().values())


def test_a_joint_budget_is_met_as_a_whole(invented):
    report = plan(Net(), slr.Global(0.9), EXAMPLE, timer=invented())
    kept = sum(round((1 - row.sparsity) * row.dense_bytes / 4) for row in report.rows)
    total = sum(row.dense_bytes // 4 for row in report.rows)
    assert kept == total - round(0.9 * total)
    assert len({round(row.sparsity, 3) for row in report.rows}) > 1


@pytest.mark.usefixtures("needs_kernels")
def test_times_come_from_the_layers_and_the_whole(invented):
    report = plan(Net(), slr.Unstructured(0.9), EXAMPLE, timer=invented())
    rows = {row.name: row for row in report.rows}
    assert rows["conv1.weight"].dense_time == 1e6
    assert rows["conv1.weight"].time == 0.25e6
    assert rows["conv1.weight"].runs_on == "sparse kernel"
    assert rows["attention.in_proj_weight"].runs_on == "dense: no Linear or Conv2d"
    assert str(rows["attention.in_proj_weight"].speedup) == "nan"
    assert (report.dense_time, report.time, report.speedup) == (1e6, 0.5e6, 2.0)


def test_the_model_is_not_touched(invented):
    model = Net().train()
    before = copy.deepcopy(model.state_dict())
    report = plan(model, slr.Channel(0.5), EXAMPLE, timer=invented())
    assert all(module.training for module in model.modules())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert not any(module._forward_pre_hooks for module in model.modules())
    assert report == plan(model, slr.Channel(0.5), EXAMPLE, timer=invented())


def test_zeros_that_initialization_leaves_do_not_count(invented):
    """A BatchNorm that starts at zero, as in many ResNets, would make the layer before it look empty."""
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
    nn.init.zeros_(model[1].weight)
    report = plan(model, slr.Unstructured(0.5), EXAMPLE, timer=invented(**{"dense, contiguous": 0.5}))
    assert report.acceleration.rows[0].sparsity == 0.5


def test_weights_that_are_all_zero_get_values(invented):
    model = nn.Sequential(nn.Linear(16, 16))
    nn.init.zeros_(model[0].weight)
    assert plan(model, slr.Unstructured(0.5), torch.randn(1, 16), timer=invented()).rows[0].sparsity == 0.5


def test_a_model_that_is_one_layer(needs_kernels, invented):
    (row,) = plan(nn.Linear(16, 16), slr.Unstructured(0.75), torch.randn(1, 16), timer=invented()).rows
    assert (row.name, row.sparsity, row.time) == ("weight", 0.75, 0.25e6)


class Outer(nn.Module):
    """Holds another model as its attribute `module`, as wrappers do."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, x):
        return self.module(x)


@pytest.mark.parametrize(
    "inner", [nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 8)), nn.Linear(16, 16)], ids=["model", "layer"]
)
def test_a_model_within_another(inner, invented):
    """Its weights are called as in the inner model, and their bytes and times are found under these names."""
    models, rules = (inner, Outer(inner)), slr.Unstructured(0.75)
    expected, found = (plan(model, rules, torch.randn(1, 16), timer=invented()).rows for model in models)
    assert [str(row) for row in found] == [str(row) for row in expected]  # NaN is NaN in text
    assert all(row.file_bytes and row.runs_on != "dense: no Linear or Conv2d" for row in found)


def test_the_table(needs_kernels, invented):
    report = plan(Net(), {"head": None, "*": slr.Unstructured(0.9)}, EXAMPLE, timer=invented())
    lines = str(report).splitlines()
    assert " ".join(lines[0].split()) == "weight shape zeros file kB MMACs left dense us us runs on rule"
    assert lines[1].split() == [
        *("conv1.weight", "16x3x3x3", "90.0%", f"{report.rows[0].file_bytes / 1e3:.1f}", "0.01"),
        *("1,000,000.0", "250,000.0", "sparse", "kernel", "Unstructured(sparsity=0.9)"),
    ]
    assert lines[5].endswith("rule 'head': None")
    assert f"file: {report.dense_bytes:,} -> {report.file_bytes:,} bytes" in str(report)
    assert "time on this machine: 1,000,000 -> 500,000 us (2.00x), accelerated, contiguous" in lines
