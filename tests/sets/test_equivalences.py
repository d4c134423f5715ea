"""Sets that must be equal because theory says so, and the ends of the range of sparsity."""

import itertools

import pytest
import torch

from slrprune.errors import ArgumentError
from slrprune.sets import NM, Block, Channel, Column, Global, KernelPattern, Unstructured
from slrprune.sets.knapsack import Knapsack


def randn(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(7))


EVERY_PATTERN = tuple(
    tuple(tuple(3 * r + c in cells for c in range(3)) for r in range(3))
    for cells in itertools.combinations(range(9), 4)
)
FULL = (((True,) * 3,) * 3,)
EQUAL = [
    ("block 1x1", Block((1, 1), 0.63), Unstructured(0.63), lambda w: w),
    ("block of a filter", Block((1, 6, 3, 3), 0.4), Channel(0.4), lambda w: w),
    ("block of a kernel", Block((1, 1, 3, 3), 0.4), KernelPattern(patterns=FULL, connectivity=0.4), lambda w: w),
    ("all patterns", KernelPattern(patterns=EVERY_PATTERN), NM(4, 9, dim=-1), lambda w: w.flatten(-2)),
    ("global of one tensor", Global(0.63), Unstructured(0.63), lambda w: w),
    ("lamp of one tensor", Global(0.63, allocation="lamp"), Unstructured(0.63), lambda w: w),
    ("erk of one tensor", Global(0.63, allocation="erk"), Unstructured(0.63), lambda w: w),
    ("column of a matrix", Column(0.5), Channel(0.5, dim=1), lambda w: w.flatten(1)),
    ("knapsack of one price", Knapsack(300, (2,)), Global(params=150), lambda w: w),
    ("n = m", NM(3, 3), Unstructured(0.0), lambda w: w),
    ("whole rows", NM(20, 54), NM(20, 54, dim=-1), lambda w: w.flatten(1)),
]


@pytest.mark.parametrize(("one", "other", "view"), [row[1:] for row in EQUAL], ids=[row[0] for row in EQUAL])
def test_sets_that_are_equal(one, other, view):
    weight = randn(8, 6, 3, 3)
    patterned = isinstance(one, KernelPattern)
    first, second = one.mask(weight if patterned else view(weight)), other.mask(view(weight))
    assert first.flatten().equal(second.flatten())


def test_nm_over_a_whole_row_is_top_k_of_the_row():
    weight = randn(5, 24)
    rows = torch.stack([Unstructured(0.75).mask(row) for row in weight])
    assert NM(6, 24).mask(weight).equal(rows)


@pytest.mark.parametrize("make", [Unstructured, lambda s: Block((1, 1), s), Channel, Column, Global], ids=range(5))
@pytest.mark.parametrize("shape", [(1, 1), (1, 1, 1, 1), (3, 2), (2, 3, 2)])
def test_ends_of_the_range_of_sparsity(make, shape):
    weight = randn(*shape)
    assert make(0).mask(weight).all()
    assert make(0.0).project(weight).equal(weight)
    nearly = make(0.9999).mask(weight)
    assert nearly.any()
    assert nearly.flatten()[weight.abs().argmax()] or not isinstance(make(0), (Unstructured, Global, Block))
    for wrong in (1, 1.0, -0.1, 90, float("nan"), True, "0.9"):
        with pytest.raises(ArgumentError, match=r"sparsity must be in \[0, 1\)"):
            make(wrong)
