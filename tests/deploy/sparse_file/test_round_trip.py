"""Bit for bit, whatever the dtype, the shape, the values and the memory format."""

from collections.abc import Callable
from pathlib import Path

import hypothesis
import hypothesis.strategies as st
import pytest
import torch
from torch import Tensor

from slrprune.deploy import load_sparse, save_sparse
from slrprune.deploy.sparse_file import dtypes

DTYPES = [dtype.torch_dtype for dtype in dtypes._BY_NAME.values()]
SHAPES = [(), (0,), (3, 0, 2), (1,), (7,), (64, 33), (16, 8, 3, 3), (3, 5, 7, 11), (1000, 20)]

AsBits = Callable[[Tensor], bytes]


def same(left: Tensor, right: Tensor, as_bits: AsBits) -> bool:
    return left.dtype == right.dtype and left.shape == right.shape and as_bits(left) == as_bits(right)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype_shape_and_density(dtype: torch.dtype, tmp_path: Path, as_bits: AsBits) -> None:
    state = {}
    for shape in SHAPES:
        for density in (0.0, 0.002, 0.05, 0.3, 0.5, 0.9, 1.0):
            kept = torch.rand(shape) < density
            values = torch.ones(shape) if dtype == torch.bool else 3 * torch.randn(shape)
            state[f"{shape} {density}"] = torch.where(kept, values, 0).to(dtype)
    save_sparse(state, tmp_path / "file")
    restored = load_sparse(tmp_path / "file")
    assert list(restored) == list(state)
    assert all(same(restored[name], state[name], as_bits) for name in state)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("density", [0.02, 0.5, 1.0])
def test_random_bits_survive(dtype: torch.dtype, density: float, tmp_path: Path, as_bits: AsBits) -> None:
    """Random words hold NaN with payloads, both infinities, subnormal numbers."""
    bytes_ = torch.randint(256, (4000, dtype.itemsize), dtype=torch.uint8)
    tensor = (bytes_ * (torch.rand(4000, 1) < density)).view(dtype).reshape(40, 100)
    save_sparse({"x": tensor}, tmp_path / "file")
    assert same(load_sparse(tmp_path / "file")["x"], tensor, as_bits)


@pytest.mark.parametrize("dtype", [dtype for dtype in DTYPES if dtype.is_floating_point], ids=str)
def test_minus_zero_is_kept(dtype: torch.dtype, tmp_path: Path, as_bits: AsBits) -> None:
    values = torch.where(torch.rand(40, 50) < 0.1, torch.randn(40, 50), 0).to(dtype)
    highest = torch.zeros(40, 50, dtype.itemsize, dtype=torch.uint8)
    highest[..., -1] = 128 * (torch.rand(40, 50) < 0.3)
    tensor = torch.where(values == 0, highest.view(dtype)[..., 0], values)
    save_sparse({"x": tensor}, tmp_path / "file")
    assert same(load_sparse(tmp_path / "file")["x"], tensor, as_bits)


def test_what_prune_leaves_behind_costs_a_bit_per_weight(tmp_path: Path, make_pruned: Callable[..., Tensor]) -> None:
    clean = make_pruned((256, 256), 0.9)
    masked = torch.randn(256, 256) * (clean != 0)  # -0.0 where a negative weight was cut
    assert (masked.signbit() & (masked == 0)).sum() > 20_000
    extra = save_sparse({"x": masked}, tmp_path / "a") - save_sparse({"x": masked + 0.0}, tmp_path / "b")
    assert extra < 1.05 * masked.numel() / 8


@pytest.mark.parametrize("layout", ["transposed", "channels_last", "sliced", "expanded", "conjugate", "negative"])
def test_memory_formats_are_saved_in_logical_order(layout: str, tmp_path: Path, as_bits: AsBits) -> None:
    base = torch.where(torch.rand(16, 8, 6, 6) < 0.3, torch.randn(16, 8, 6, 6), 0)
    tensor = {
        "transposed": lambda: base.transpose(0, 2),
        "channels_last": lambda: base.to(memory_format=torch.channels_last),
        "sliced": lambda: base[::2, 1:7:3],
        "expanded": lambda: base[:1].expand(16, 8, 6, 6),
        "conjugate": lambda: torch.complex(base, base).conj(),
        "negative": lambda: torch.complex(base, base).conj().imag,
    }[layout]()
    save_sparse({"x": tensor}, tmp_path / "file")
    plain = tensor.resolve_conj().resolve_neg().contiguous()
    assert same(load_sparse(tmp_path / "file")["x"], plain, as_bits)


def test_shared_tensors_are_stored_once_and_shared_again(tmp_path: Path) -> None:
    weight = torch.randn(100, 100)
    state = {"a": weight, "b": weight, "view": weight.T, "c": weight.view(100, 100), "copy": weight.clone()}
    size = save_sparse(state, tmp_path / "file")
    assert size < 3 * weight.nbytes + 2000
    restored = load_sparse(tmp_path / "file")
    assert restored["a"].data_ptr() == restored["b"].data_ptr() == restored["c"].data_ptr()
    assert len({restored[name].data_ptr() for name in ("a", "view", "copy")}) == 3
    assert torch.equal(restored["view"], weight.T)


def test_empty_tensors_are_not_taken_for_shared(tmp_path: Path) -> None:
    save_sparse({"a": torch.empty(0, 3), "b": torch.empty(0, 3)}, tmp_path / "file")
    restored = load_sparse(tmp_path / "file")
    assert restored["a"] is not restored["b"]


def test_equal_tensors_give_equal_files(tmp_path: Path, make_pruned: Callable[..., Tensor]) -> None:
    for name in ("a", "b"):
        save_sparse({"x": make_pruned((200, 200), 0.9), "y": torch.arange(50)}, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_nothing_to_save(tmp_path: Path) -> None:
    save_sparse({}, tmp_path / "file")
    assert load_sparse(tmp_path / "file") == {}


def test_any_name_survives(tmp_path: Path) -> None:
    names = [
        "",
        "a.b",
        'quote"',
        "back\\slash",
        "\n",
        "Gewicht ü",
        "重み",
        "\ud800",
        "data",
        "__metadata__",
        "x" * 5000,
    ]
    save_sparse({name: torch.tensor(float(index)) for index, name in enumerate(names)}, tmp_path / "file")
    assert {name: int(tensor) for name, tensor in load_sparse(tmp_path / "file").items()} == {
        name: index for index, name in enumerate(names)
    }


def test_loaded_tensors_are_writable_and_outlive_the_file(tmp_path: Path) -> None:
    save_sparse({"x": torch.arange(100.0), "y": torch.zeros(1000)}, tmp_path / "file")
    restored = load_sparse(tmp_path / "file")
    (tmp_path / "file").unlink()
    for tensor in restored.values():
        tensor.add_(1)
    assert restored["x"].sum() == 5050
    assert restored["y"].sum() == 1000


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    """Any dtype, any small shape, words drawn from few or from many, in runs or at random."""
    dtype = draw(st.sampled_from([dtype for dtype in DTYPES if dtype != torch.bool]))
    shape = draw(st.lists(st.integers(1, 12), min_size=1, max_size=4))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    size = torch.Size(shape).numel()
    high = draw(st.sampled_from([1, 2, 5, 256]))
    words = torch.randint(high, (size, dtype.itemsize), generator=generator, dtype=torch.uint8)
    run = draw(st.sampled_from([1, 3, 64]))
    kept = (torch.rand(size // run + 1, generator=generator) < draw(st.floats(0, 1))).repeat_interleave(run)[:size]
    return (words * kept[:, None]).view(dtype).reshape(shape)


@hypothesis.given(tensor=tensors())
@hypothesis.settings(max_examples=150, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
def test_any_tensor(tensor: Tensor, tmp_path: Path, as_bits: AsBits) -> None:
    save_sparse({"x": tensor}, tmp_path / "file")
    assert same(load_sparse(tmp_path / "file")["x"], tensor, as_bits)
