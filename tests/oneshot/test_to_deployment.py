"""What one-shot pruning leaves goes on like any other pruned model: the sparse file, accelerate."""

from copy import deepcopy
from pathlib import Path

import torch
from torch import nn

from slrprune.deploy import accelerate, load_sparse, plan, save_sparse
from slrprune.oneshot import prune
from slrprune.sets import Unstructured


def _pruned() -> tuple[nn.Sequential, torch.Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 16)).eval()
    x = torch.randn(256, 32)
    prune(model, list(x.split(64)), Unstructured(0.9))
    return model, x


def test_the_sparse_file_holds_it_bit_for_bit(tmp_path: Path) -> None:
    model, _ = _pruned()
    fresh = deepcopy(model)
    for parameter in fresh.parameters():
        parameter.data.fill_(7.0)
    save_sparse(model, tmp_path / "pruned.safetensors")
    load_sparse(tmp_path / "pruned.safetensors", fresh)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, fresh.state_dict()[name]), name


def test_accelerate_and_plan_take_it() -> None:
    model, x = _pruned()
    fast, report = accelerate(model, x[:4])
    torch.testing.assert_close(fast(x[:4]), model(x[:4]), rtol=1e-4, atol=1e-5)
    assert [round(row.sparsity, 2) for row in report.rows] == [0.9, 0.9]
    forecast = plan(model, Unstructured(0.9), x[:4])
    assert forecast.macs < forecast.dense_macs
