import itertools

import pytest
import torch

from slrprune.sets import KernelPattern
from slrprune.sets.pattern import FOUR_OF_NINE, compact_patterns


def cells(pattern):
    return frozenset((r, c) for r, row in enumerate(pattern) for c, stays in enumerate(row) if stays)


def test_default_library_is_squares_and_ts_around_the_centre():
    squares = {frozenset((r + dr, c + dc) for dr in (0, 1) for dc in (0, 1)) for r in (0, 1) for c in (0, 1)}
    cross = frozenset({(0, 1), (1, 0), (1, 1), (1, 2), (2, 1)})
    ts = {cross - {arm} for arm in cross - {(1, 1)}}
    assert {cells(p) for p in FOUR_OF_NINE} == squares | ts
    assert len(FOUR_OF_NINE) == 8


def test_library_maps_to_itself_under_rotation_and_reflection():
    library = {cells(p) for p in FOUR_OF_NINE}
    assert {frozenset((c, 2 - r) for r, c in p) for p in library} == library
    assert {frozenset((r, 2 - c) for r, c in p) for p in library} == library


def test_all_patterns_with_the_centre():
    everything = {cells(p) for p in compact_patterns(count=100)}
    assert everything == {
        frozenset(p) for p in itertools.combinations(itertools.product(range(3), repeat=2), 4) if (1, 1) in p
    }
    assert len(everything) == 56


def test_patterns_may_come_as_tensors_lists_or_numbers():
    library = (((1, 0), (0, 0)), ((0, 0), (0, 1)))
    assert KernelPattern(patterns=torch.tensor(library).bool()) == KernelPattern(patterns=[list(p) for p in library])
    assert hash(KernelPattern(patterns=[[[1]]])) == hash(KernelPattern(patterns=[[[True]]]))


def test_equal_losses_take_the_first_pattern():
    mask = KernelPattern().mask(torch.ones(2, 2, 3, 3))
    assert (mask == torch.tensor(FOUR_OF_NINE[0])).all()


@pytest.mark.parametrize("connectivity", [0.0, 0.3, 0.9])
def test_path_has_zeros_in_proportion(connectivity):
    constraint = KernelPattern(connectivity=connectivity)
    weight = torch.randn(40, 25, 3, 3, generator=torch.Generator().manual_seed(0))
    end = int((~constraint.mask(weight)).sum())
    for progress in (0.1, 0.4, 0.5, 0.8, 0.95, 1.0):
        zeros = int((~constraint.at(progress).mask(weight)).sum())
        assert zeros == pytest.approx(progress * end, abs=9)
        assert constraint.at(progress).at(1) == constraint.at(progress)


def test_whole_kernels_go_by_what_the_pattern_leaves():
    weight = torch.zeros(1, 2, 3, 3)
    weight[0, 0] = 2.0  # more energy in all: 36, in a pattern 16
    weight[0, 1, 1, 1] = 5.0  # less in all: 25, but all of it in a pattern
    mask = KernelPattern(connectivity=0.5).mask(weight)
    assert mask[0, 1, 1, 1]
    assert not mask[0, 0].any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_fits_stays_where_subnormal_numbers_are_flushed_to_zero(dtype):
    weight = torch.randn(16, 16, 3, 3, dtype=dtype, generator=torch.Generator().manual_seed(0))
    mask = KernelPattern().mask(weight)
    assert len(mask.flatten(2).flatten(0, 1).unique(dim=0)) == 8
    assert torch.set_flush_denormal(True)
    try:
        assert torch.equal(KernelPattern().mask(weight * mask), mask)
    finally:
        torch.set_flush_denormal(False)
