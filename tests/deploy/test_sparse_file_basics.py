"""The sparse file: what is written comes back bit for bit, is small, and damage is noticed."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from slrprune.deploy.sparse_file import load_sparse, save_sparse
from slrprune.errors import SlrpruneError
from slrprune.sets import NM, Unstructured

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int8, torch.bool, torch.int64]


def bits(tensor):
    return tensor.contiguous().flatten().view(torch.uint8)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("shape", [(0,), (), (1,), (7, 5), (16, 8, 3, 3)])
def test_bit_for_bit(tmp_path, dtype, sparsity, shape):
    torch.manual_seed(0)
    weight = torch.randn(shape)
    weight = (weight * 50).masked_fill(torch.rand(shape) < sparsity, 0).to(dtype)
    save_sparse({"w": weight}, tmp_path / "a.safetensors")
    loaded = load_sparse(tmp_path / "a.safetensors")["w"]
    assert loaded.dtype == dtype
    assert loaded.shape == weight.shape
    assert torch.equal(bits(loaded), bits(weight))


def test_minus_zero_and_nan_are_values(tmp_path):
    weight = torch.zeros(1000)
    weight[3], weight[500], weight[999] = -0.0, float("nan"), float("-inf")
    save_sparse({"w": weight}, tmp_path / "a.safetensors")
    assert torch.equal(bits(load_sparse(tmp_path / "a.safetensors")["w"]), bits(weight))


def test_a_model_and_its_tied_weights(tmp_path):
    model = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(8, 8))
    model[2].weight = model[0].weight
    save_sparse(model, tmp_path / "a.safetensors")
    other = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(8, 8))
    load_sparse(tmp_path / "a.safetensors", other)
    for name, value in model.state_dict().items():
        assert torch.equal(other.state_dict()[name], value)


@pytest.mark.parametrize(("sparsity", "times"), [(0.9, 10), (0.95, 19)])
def test_it_is_small(tmp_path, sparsity, times):
    torch.manual_seed(0)
    weight = Unstructured(sparsity).project(torch.randn(512, 512, 3, 3) * 0.02)
    save_file({"w": weight}, tmp_path / "dense.safetensors")
    save_sparse({"w": weight}, tmp_path / "sparse.safetensors")
    dense, sparse = ((tmp_path / f"{name}.safetensors").stat().st_size for name in ("dense", "sparse"))
    assert dense / sparse >= times


def test_two_of_four(tmp_path):
    weight = NM(2, 4).project(torch.randn(64, 64))
    save_sparse({"w": weight}, tmp_path / "a.safetensors")
    assert torch.equal(bits(load_sparse(tmp_path / "a.safetensors")["w"]), bits(weight))


def test_damage_is_a_clear_error(tmp_path):
    path = tmp_path / "a.safetensors"
    save_sparse({"w": Unstructured(0.9).project(torch.randn(64, 64))}, path)
    whole = path.read_bytes()
    generator = torch.Generator().manual_seed(0)
    for _ in range(300):
        at = int(torch.randint(len(whole), (1,), generator=generator))
        flip = 1 << int(torch.randint(8, (1,), generator=generator))
        path.write_bytes(whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :])
        with pytest.raises(SlrpruneError):
            load_sparse(path)
    for at in range(0, len(whole), 97):
        path.write_bytes(whole[:at])
        with pytest.raises(SlrpruneError):
            load_sparse(path)
