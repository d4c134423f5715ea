"""The selection over ranks finds the very masks of one process: ties, uneven and empty slices, every dtype."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from threads import Threads, cut, joined, together
from torch import Tensor

from slrprune.distributed import Alone
from slrprune.sets import ranking
from slrprune.sets.ranking import Bag, Ranking, digits, largest
from slrprune.sets.topk import top_k

DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]


def _weights(seed: int, dtype: torch.dtype, kind: str) -> list[Tensor]:
    """A few tensors of few rows, some with fewer rows than ranks."""
    generator = torch.Generator().manual_seed(seed)
    shapes = [(5, 7), (1, 4), (8, 3, 2), (2, 1), (13,)]
    weights = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    if kind == "ties":
        weights = [(w * 2).round() / 2 for w in weights]
    if kind == "all equal":
        weights = [w.sign() for w in weights]
    if kind == "far apart":
        weights = [torch.exp(8 * w) * w.sign() for w in weights]
    return [w.to(dtype) for w in weights]


def _select(
    weights: list[Tensor], bags: list[list[int]], kept: list[int], ranks: int
) -> tuple[list[Tensor], list[int]]:
    """Masks and counts of each weight, from `ranks` ranks."""

    def work(world: Threads) -> list[Ranking]:
        parts = [part.tensor for part in cut(weights, world)]
        wanted = [Bag([parts[i] for i in bag], k) for bag, k in zip(bags, kept, strict=True)]
        return largest(wanted, world)

    found = together(ranks, work)
    masks = joined([[mask for entry in rank for mask in entry.masks] for rank in found])
    counts = [[int(n) for entry in rank for n in entry.counts] for rank in found]
    assert all(other == counts[0] for other in counts)
    return masks, counts[0]


@given(
    seed=st.integers(0, 10_000),
    dtype=st.sampled_from(DTYPES),
    kind=st.sampled_from(["normal", "ties", "all equal", "far apart"]),
    ranks=st.integers(1, 4),
    share=st.floats(0, 1),
)
def test_one_bag_is_top_k(seed: int, dtype: torch.dtype, kind: str, ranks: int, share: float) -> None:
    weights = _weights(seed, dtype, kind)
    kept = round(share * sum(w.numel() for w in weights))
    masks, counts = _select(weights, [list(range(len(weights)))], [kept], ranks)
    for mask, expected, count in zip(masks, top_k(weights, kept), counts, strict=True):
        assert torch.equal(mask, expected)
        assert count == int(expected.sum())


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), dtype=st.sampled_from(DTYPES), ranks=st.integers(1, 4), share=st.floats(0, 1))
def test_several_bags_are_several_top_ks(seed: int, dtype: torch.dtype, ranks: int, share: float) -> None:
    weights = _weights(seed, dtype, "ties")
    bags = [[0, 2], [1], [3, 4]]
    kept = [round(share * sum(weights[i].numel() for i in bag)) for bag in bags]
    masks, _ = _select(weights, bags, kept, ranks)
    expected = [mask for bag, k in zip(bags, kept, strict=True) for mask in top_k([weights[i] for i in bag], k)]
    assert all(torch.equal(mask, other) for mask, other in zip(masks, expected, strict=True))


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), dtype=st.sampled_from(DTYPES), kind=st.sampled_from(["normal", "ties"]))
def test_the_way_of_accelerators_finds_the_same(seed: int, dtype: torch.dtype, kind: str) -> None:
    weights = _weights(seed, dtype, kind)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "_HostKeys", ranking._DeviceKeys)
        masks, _ = _select(weights, [list(range(len(weights)))], [37], 3)
    assert all(torch.equal(mask, other) for mask, other in zip(masks, top_k(weights, 37), strict=True))


def test_more_entries_than_fit_one_piece() -> None:
    weights = [torch.randn(3000, 70), (torch.randn(500, 200) * 4).round() / 4]
    masks, _ = _select(weights, [[0, 1]], [31_000], 3)
    assert all(torch.equal(mask, other) for mask, other in zip(masks, top_k(weights, 31_000), strict=True))


@pytest.mark.parametrize("dtype", DTYPES)
def test_infinities_and_signed_zeros(dtype: torch.dtype) -> None:
    weight = torch.tensor([0.0, -0.0, torch.inf, 1.0, -torch.inf, -0.0, -1.0, 0.0], dtype=dtype).view(4, 2)
    for kept in range(9):
        masks, _ = _select([weight], [[0]], [kept], 3)
        assert torch.equal(masks[0], top_k([weight], kept)[0])


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", DTYPES)
def test_cuda_finds_the_same_and_reads_nothing_back(dtype: torch.dtype) -> None:
    weights = _weights(0, dtype, "ties")
    on_device = [weight.cuda() for weight in weights]
    largest([Bag(on_device, 5)], Alone())  # what loads kernels may wait
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = [largest([Bag(on_device, kept)], Alone())[0].masks for kept in range(0, 92, 13)]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for kept, masks in zip(range(0, 92, 13), found, strict=True):
        assert all(torch.equal(a.cpu(), b) for a, b in zip(masks, top_k(weights, kept), strict=True))


@pytest.mark.parametrize("bits", [15, 31, 63])
@pytest.mark.parametrize("bags", [1, 5])
def test_digits_cover_the_key(bits: int, bags: int) -> None:
    end = bits
    for shift, width in digits(bits, bags):
        assert shift + width == end
        assert 1 <= width <= 11
        end = shift
    assert end == 0
