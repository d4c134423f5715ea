import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from slrprune.sets import _topk_cpu
from slrprune.sets.topk import _masks_on_device, top_k


def by_sorting(weights, k):
    """The definition: a stable sort of everything by falling magnitude."""
    flat = torch.cat([w.reshape(-1).double() for w in weights]).abs()
    mask = torch.zeros(len(flat), dtype=torch.bool)
    mask[flat.argsort(descending=True, stable=True)[:k]] = True
    return [m.view(w.shape) for m, w in zip(mask.split([w.numel() for w in weights]), weights, strict=True)]


def same(first, second):
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def on_device(weights, k):
    flat = [w.reshape(-1) for w in weights]
    return [m.view(w.shape) for m, w in zip(_masks_on_device(flat, k, sum(map(len, flat))), weights, strict=True)]


@pytest.fixture(params=["direct", "bracket"])
def path(request, monkeypatch):
    """Small inputs, once through the direct path and once through that of large inputs."""
    if request.param == "bracket":
        monkeypatch.setattr(_topk_cpu, "_DIRECT", 0)
        monkeypatch.setattr(_topk_cpu, "_SAMPLE", 64)
        monkeypatch.setattr(_topk_cpu, "_PIECE", 100)


N = 3000
NORMAL = torch.randn(N, generator=torch.Generator().manual_seed(0))
AWKWARD = {
    "normal": NORMAL,
    "all equal": torch.full((N,), -2.5),
    "zeros": torch.zeros(N),
    "minus zeros": torch.cat([torch.zeros(N // 2), -torch.zeros(N // 2)]),
    "two values": (NORMAL > 0).float(),
    "few values": (2 * NORMAL).round(),
    "mostly zeros": torch.where(NORMAL.abs() > 1.7, NORMAL, 0),
    "one": torch.eye(1, N)[0],
    "rising": NORMAL.sort().values.abs().sort().values,
    "falling": -NORMAL.abs().sort(descending=True).values,
    "organ pipe": torch.cat([torch.arange(N // 2), torch.arange(N // 2).flip(0)]).float(),
    "in step with the sample": (torch.arange(N) % (N // 64)).float(),
    "sample sees zeros": torch.where(torch.arange(N) % (N // 64) == 0, 0, NORMAL),
    "sample sees the largest": torch.where(torch.arange(N) % (N // 64) == 0, 9, NORMAL),
    "subnormal": NORMAL * 1e-42,
    "wide": NORMAL.sign() * torch.exp(20 * NORMAL),
    "infinite": torch.where(NORMAL > 2, torch.inf, NORMAL),
}


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_values(name, dtype):
    weight = AWKWARD[name].to(dtype)
    for k in (1, 2, 299, 1500, 2700, N - 1):
        masks = top_k([weight], k)
        assert int(masks[0].sum()) == k
        assert same(masks, by_sorting([weight], k))
        assert same(masks, on_device([weight], k))


@pytest.mark.usefixtures("path")
def test_list_is_one_point_and_ties_run_through_it():
    weights = [torch.ones(2, 3), torch.zeros(0), torch.full((), 2.0), torch.ones(4), torch.zeros(5)]
    for k in range(16):
        assert same(top_k(weights, k), by_sorting(weights, k))
    assert [m.tolist() for m in top_k(weights, 8)[2:4]] == [True, [True, False, False, False]]


@pytest.mark.usefixtures("path")
def test_dtypes_are_compared_by_value():
    weights = [torch.tensor([1.0, 2.0]).bfloat16(), torch.tensor([1.5, -3.0]).double(), torch.tensor([2.5]).half()]
    assert [m.tolist() for m in top_k(weights, 3)] == [[False, True], [False, True], [True]]


@given(st.lists(st.lists(st.integers(-3, 3), max_size=9), min_size=1, max_size=4), st.integers(-1, 40))
def test_against_sorting(values, k):
    weights = [torch.tensor(v, dtype=torch.float32) for v in values]
    total = sum(map(len, weights))
    assert same(top_k(weights, k), by_sorting(weights, min(max(k, 0), total)))
    if 0 < k < total:
        assert same(on_device(weights, k), by_sorting(weights, k))


@pytest.mark.usefixtures("path")
def test_count_is_exact_even_with_nan():
    weight = torch.where(NORMAL > 1, torch.nan, NORMAL)
    assert int(top_k([weight], 700)[0].sum()) == 700


def test_large_input_at_its_real_sizes():
    weight = torch.randn(_topk_cpu._DIRECT + 999, generator=torch.Generator().manual_seed(1))
    parts = list(weight.split([5, 300_007, len(weight) - 300_012]))
    for k in (1, len(weight) // 10, len(weight) - 1):
        assert same(top_k(parts, k), by_sorting(parts, k))
    assert same(top_k([weight.bfloat16()], 99_999), by_sorting([weight.bfloat16()], 99_999))


def test_good_bracket_is_not_gathered_again(monkeypatch):
    """The fast path is really taken: what is selected from is a small part of the input."""
    sizes = []
    select = _topk_cpu._largest
    monkeypatch.setattr(_topk_cpu, "_largest", lambda keys, k: sizes.append(len(keys)) or select(keys, k))
    weight = torch.randn(4 * _topk_cpu._DIRECT, generator=torch.Generator().manual_seed(2))
    top_k([weight], len(weight) // 10)
    assert len(sizes) == 3  # two ends of the bracket, and the entries inside it
    assert sizes[2] < 0.02 * len(weight)


def test_ties_at_an_end_of_the_bracket_are_not_gathered(monkeypatch):
    sizes = []
    select = _topk_cpu._largest
    monkeypatch.setattr(_topk_cpu, "_largest", lambda keys, k: sizes.append(len(keys)) or select(keys, k))
    weight = torch.ones(2 * _topk_cpu._DIRECT)
    assert top_k([weight], 1000)[0].nonzero().max() == 999
    assert max(sizes) <= 2 * _topk_cpu._SAMPLE


@pytest.mark.parametrize("low", range(-1, 8))
def test_any_bracket_gives_the_exact_key(low, monkeypatch):
    keys = np.array([3, 1, 4, 1, 5, 2, 6, 5, 3, 5, 0, 7], dtype=np.int32)
    ordered = sorted(keys.tolist(), reverse=True)
    for high in range(low, 9):
        monkeypatch.setattr(_topk_cpu, "_bracket", lambda *_, ends=(low, high): ends)
        assert [_topk_cpu.kth_key([keys[:5], keys[5:]], k, 12) for k in range(1, 13)] == ordered


@pytest.mark.gpu
def test_cuda_agrees():
    for weight in AWKWARD.values():
        assert same([m.cpu() for m in top_k([weight.cuda()], 700)], top_k([weight], 700))
