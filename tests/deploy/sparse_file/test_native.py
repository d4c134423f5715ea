"""The loops in C give the same bits as numpy, threads the same as one, and contradictions touch nothing outside."""

import numpy as np
import pytest
import torch

from slrprune.deploy import load_sparse, save_sparse
from slrprune.deploy.kernels.native import library_if_any
from slrprune.deploy.sparse_file import bits, native, parallel
from slrprune.deploy.sparse_file.positions import Gaps

needs_library = pytest.mark.skipif(library_if_any() is None, reason="the sparse kernels were not compiled here")

DTYPES = [torch.uint8, torch.float16, torch.bfloat16, torch.float32, torch.float64]


def state(make_pruned, dtype):
    """Masks and gaps, a moved dimension, sizes that are no multiple of anything, a value at either end."""
    tensors = {
        f"{size}-{sparsity}": make_pruned((size,), sparsity).mul(1000).to(dtype)
        for size in (8192, 10_007, 70_001)
        for sparsity in (0.4, 0.9, 0.99, 0.9999)
    }
    for tensor in tensors.values():
        tensor[[0, -1]] = 7
    tensors["moved"] = make_pruned((64, 64, 3, 3), 0.9).mul(1000).to(dtype)
    tensors["moved"][:, 1::2] = 0
    return tensors


@needs_library
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_library_and_numpy_give_the_same_bits(make_pruned, as_bits, dtype, tmp_path, monkeypatch):
    expected = state(make_pruned, dtype)
    save_sparse(expected, tmp_path / "file")
    calls = []
    unpack = native.unpack
    monkeypatch.setattr(native, "unpack", lambda *given: calls.append(unpack(*given)) or calls[-1])
    by_library = load_sparse(tmp_path / "file")
    assert any(calls)
    monkeypatch.setattr(native, "library_if_any", lambda: None)
    by_numpy = load_sparse(tmp_path / "file")
    assert not calls[-1]
    for name, tensor in expected.items():
        assert as_bits(by_library[name]) == as_bits(by_numpy[name]) == as_bits(tensor)


@needs_library
@pytest.mark.parametrize("length", [4096, 4097, 5003])
def test_counting_and_joining_bits(length, monkeypatch):
    packed = np.random.default_rng(length).integers(0, 256, 4 * length, np.uint8)
    found = bits.count_ones(packed), [bits.join_bits(packed, 4, 8 * length - cut) for cut in (0, 1, 7)]
    assert native.count_ones(packed) == found[0]
    monkeypatch.setattr(native, "library_if_any", lambda: None)
    assert bits.count_ones(packed) == found[0] == int(np.unpackbits(packed).sum())
    for cut, numbers in zip((0, 1, 7), found[1], strict=True):
        np.testing.assert_array_equal(bits.join_bits(packed, 4, 8 * length - cut), numbers)


@needs_library
def test_contradictions_are_refused_and_write_nothing_outside():
    size = 4096
    guarded = np.full(3 * size, 77, np.uint32)
    out = guarded[size : 2 * size]
    gaps = Gaps(size, 600, 2)
    positions = np.arange(600) * 6
    unary, low = gaps.encode(positions)
    columns = (np.ones(600, np.uint16), np.ones(600, np.uint8), np.ones(600, np.uint8))
    low_bits, _ = gaps.low((unary, low))
    assert native.unpack(out, unary, low_bits, 2, columns)
    assert np.array_equal(np.flatnonzero(out), positions)
    wrong = [
        (np.full_like(unary, 255), low_bits, 2, columns),  # more ones than values
        (unary[:40], low_bits, 2, columns),  # fewer
        (unary, low_bits, 30, columns),  # places far behind the end
        (unary, np.full_like(low_bits, 255), 5, columns),
        (np.full(size, 255, np.uint8), None, 0, columns),  # a mask longer than the tensor
    ]
    for given in wrong:
        assert not native.unpack(out, *given)
        assert (guarded[:size] == 77).all()
        assert (guarded[2 * size :] == 77).all()


def test_several_threads_load_the_same(make_pruned, as_bits, tmp_path, monkeypatch):
    monkeypatch.setattr(parallel, "_WORTH_A_THREAD", 1000)
    expected = state(make_pruned, torch.float32)
    save_sparse(expected, tmp_path / "file")
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        loaded = load_sparse(tmp_path / "file")
        shared = torch.nn.ParameterList([torch.nn.Parameter(torch.zeros(8192))])
        save_sparse({"0": expected["8192-0.9"]}, tmp_path / "one")
        load_sparse(tmp_path / "one", shared)
    finally:
        torch.set_num_threads(before)
    assert all(as_bits(loaded[name]) == as_bits(tensor) for name, tensor in expected.items())
    assert as_bits(shared[0]) == as_bits(expected["8192-0.9"])


def test_of_several_errors_that_of_the_first_item_is_raised():
    def work(item):
        raise ValueError(item)

    size = 100 << 20
    with pytest.raises(ValueError, match=r"^0$"):
        parallel.map_threads(work, range(9), [size + item for item in range(9)], threads=4)
