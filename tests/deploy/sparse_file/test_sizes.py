"""How small the file is, against what the entropy of positions and exponents allows."""

from collections.abc import Callable
from math import comb, log2
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from slrprune.deploy import load_sparse, save_sparse

RESNET18 = {"conv1": (64, 3, 7, 7), "fc": (1000, 512)} | {
    f"layer{stage}.{block}.conv{conv}": (width, width // 2 if (stage, block, conv) in strided else width, 3, 3)
    for strided in [{(2, 0, 1), (3, 0, 1), (4, 0, 1)}]
    for stage, width in enumerate((64, 128, 256, 512), start=1)
    for block in (0, 1)
    for conv in (1, 2)
}
RESNET18 |= {f"layer{stage}.0.downsample": (64 << (stage - 1), 32 << (stage - 1), 1, 1) for stage in (2, 3, 4)}


def resnet18(sparsity: float, dtype: torch.dtype, make_pruned: Callable[..., Tensor]) -> dict[str, Tensor]:
    """The state of a ResNet-18: Laplace weights pruned layer by layer, BatchNorm and biases dense."""
    state = {}
    for seed, (name, shape) in enumerate(RESNET18.items()):
        state[f"{name}.weight"] = make_pruned(shape, sparsity, dtype, seed)
        for vector in ("bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"):
            state[f"{name}.{vector}"] = torch.rand(shape[0]).to(dtype)
        state[f"{name}.bn.num_batches_tracked"] = torch.tensor(1000)
    return state


@pytest.mark.parametrize(
    ("sparsity", "dtype", "ratio"),
    [
        (0.9, torch.float32, 10.0),
        (0.95, torch.float32, 19.0),
        (0.9, torch.float16, 8.5),
        (0.9, torch.bfloat16, 10.0),
    ],
)
def test_resnet18(
    sparsity: float, dtype: torch.dtype, ratio: float, tmp_path: Path, make_pruned: Callable[..., Tensor]
) -> None:
    state = resnet18(sparsity, dtype, make_pruned)
    assert sum(tensor.numel() for name, tensor in state.items() if "bn" not in name) == 11_678_912
    save_file(state, tmp_path / "dense")
    size = save_sparse(state, tmp_path / "sparse")
    assert size == (tmp_path / "sparse").stat().st_size
    assert (tmp_path / "dense").stat().st_size >= ratio * size
    restored = load_sparse(tmp_path / "sparse")
    assert all(torch.equal(restored[name], tensor) for name, tensor in state.items())


def stored_bits(tensor: Tensor, tmp_path: Path) -> float:
    """Bits per entry of the whole file, its fixed overhead aside."""
    overhead = save_sparse({"x": torch.zeros(())}, tmp_path / "empty")
    return 8 * (save_sparse({"x": tensor}, tmp_path / "file") - overhead) / tensor.numel()


@pytest.mark.parametrize(("n", "m", "dim"), [(2, 4, 1), (2, 4, 0), (1, 4, 1), (4, 8, 1), (2, 4, 3)])
def test_nm_groups_are_stored_at_their_entropy(n: int, m: int, dim: int, tmp_path: Path) -> None:
    shape = (64, 64, 4, 8)
    scores = torch.rand(shape).movedim(dim, -1).unflatten(-1, (-1, m))
    mask = (scores.argsort(-1).argsort(-1) < n).flatten(-2).movedim(-1, dim)
    values = torch.randint(1, 256, shape, dtype=torch.uint8)  # 8 bits each: what is left is positions
    entropy = log2(comb(m, n)) / m
    used = stored_bits(torch.where(mask, values, 0), tmp_path) - 8 * n / m
    assert entropy < used < 1.06 * entropy + 0.02


def test_blocks_of_output_channels_cost_less_than_half_of_single_weights(tmp_path: Path) -> None:
    kept = torch.rand(32, 1, 64, 3, 3) < 0.1
    values = torch.randint(1, 256, (32, 4, 64, 3, 3), dtype=torch.uint8)
    blocks = torch.where(kept, values, 0).reshape(128, 64, 3, 3)
    single = -(0.1 * log2(0.1) + 0.9 * log2(0.9))
    assert single / 4 < stored_bits(blocks, tmp_path) - 8 * kept.float().mean() < 0.45 * single


@pytest.mark.parametrize("dim", [0, 1])
def test_channels_cost_nothing(dim: int, tmp_path: Path) -> None:
    weight = torch.randint(1, 256, (128, 128, 3, 3), dtype=torch.uint8)
    weight.index_fill_(dim, torch.randperm(128)[:100], 0)
    assert stored_bits(weight, tmp_path) < 8 * 28 / 128 + 0.05


@pytest.mark.parametrize(
    ("tensor", "most"),
    [
        (torch.zeros(100_000), 400),
        (torch.ones(100_000), 1200),
        (torch.full((100_000,), float("nan")), 1200),
        ((torch.arange(100_000) % 10 == 0).float(), 1200),
        (torch.arange(100_000) > 50_000, 400),
    ],
    ids=["zeros", "ones", "nan", "float mask", "bool"],
)
def test_constants_and_masks_shrink_to_almost_nothing(tensor: Tensor, most: int, tmp_path: Path) -> None:
    assert save_sparse({"x": tensor}, tmp_path / "file") < most


def test_dense_tensors_stay_as_they_are(tmp_path: Path) -> None:
    """Loading a dense layer must not become slower for the sake of its exponents."""
    tensor = torch.randn(1000, 100)
    assert tensor.nbytes < save_sparse({"x": tensor}, tmp_path / "file") < tensor.nbytes + 300
    assert tensor.numpy().tobytes() in (tmp_path / "file").read_bytes()


def test_a_trained_network(tmp_path: Path, data_dir: Path) -> None:
    """The public CIFAR ResNet-56, pruned by magnitude over all layers."""
    path = data_dir / "cifar10_ckpt" / "resnet56-4bfd9763.th"
    if not path.exists():
        pytest.skip(f"needs {path}")
    state = {
        name: t.clone() for name, t in torch.load(path, map_location="cpu", weights_only=True)["state_dict"].items()
    }
    weights = [name for name, tensor in state.items() if tensor.dim() > 1]
    magnitudes = torch.cat([state[name].abs().flatten() for name in weights])
    for sparsity, ratio in ((0.9, 8.5), (0.95, 14.0)):
        threshold = magnitudes.kthvalue(int(sparsity * len(magnitudes))).values
        sparse = {name: torch.where(t.abs() > threshold, t, 0) if name in weights else t for name, t in state.items()}
        save_file(sparse, tmp_path / "dense")
        assert (tmp_path / "dense").stat().st_size >= ratio * save_sparse(sparse, tmp_path / "file")
        restored = load_sparse(tmp_path / "file")
        assert all(torch.equal(restored[name], tensor) for name, tensor in sparse.items())
