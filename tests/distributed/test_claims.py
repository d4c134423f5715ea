"""Sets that decide over ranks find the masks that `select` finds in one process."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from threads import Threads, cut, joined, together
from torch import Tensor

from slrprune import NM, Block, Channel, Column, ConstraintSet, Global, KernelPattern, Unstructured
from slrprune.errors import ShapeError, UsageError
from slrprune.sets.claims import decide

SETS: list[ConstraintSet] = [
    Unstructured(0.7),
    Global(0.8),
    Global(0.9, floor=0.9),
    Global(0.5, floor=1.0),
    Global(0.8, allocation="erk"),
    Global(0.8, allocation="uniform"),
    Global(params=40),
    Global(bytes=400),
    NM(2, 4),
    NM(1, 4).at(0.3),
    NM(1, 3, dim=-1),
    Block((1, 4), 0.7),
    Block((1, 2, 3, 3), 0.7),
    Channel(0.6),
    Channel(0.6, dim=1),
    Channel(0.3, dim=2),
    Column(0.6),
    Column(0.6, dim=1),
    KernelPattern(),
    KernelPattern().at(0.4),
    KernelPattern(connectivity=0.5),
    Channel(0.5) & NM(2, 4),
    Channel(0.5, dim=1) & KernelPattern(),
]


def _masks(constraint: ConstraintSet, weights: list[Tensor], ranks: int) -> list[Tensor]:
    def work(world: Threads) -> list[Tensor]:
        slices = cut(weights, world)
        return [mask for masks in decide(constraint.claims(slices), world) for mask in masks]

    return joined(together(ranks, work))


@pytest.mark.parametrize("constraint", SETS, ids=repr)
@settings(max_examples=10)
@given(seed=st.integers(0, 1000), ranks=st.integers(2, 5), has_ties=st.booleans())
def test_masks_of_slices_are_those_of_the_whole(
    constraint: ConstraintSet, seed: int, ranks: int, has_ties: bool
) -> None:
    generator = torch.Generator().manual_seed(seed)
    shapes = [(6, 4, 3, 3), (2, 4, 3, 3), (9, 4, 3, 3)]
    weights = [torch.randn(shape, generator=generator) for shape in shapes]
    if has_ties:
        weights = [(w * 2).round() / 2 for w in weights]
    found = _masks(constraint, weights, ranks)
    assert all(torch.equal(a, b) for a, b in zip(found, constraint.select(weights), strict=True))


@pytest.mark.parametrize("constraint", [Block((2, 1), 0.6), NM(1, 2, dim=0), Column(0.5) & NM(1, 2, dim=0)], ids=repr)
def test_groups_of_rows_that_lie_within_a_slice(constraint: ConstraintSet) -> None:
    weight = torch.randn(10, 6)
    for ranks, fits in ((2, False), (3, True), (5, True), (10, False)):
        if fits:
            constraint.check_slices("fc", (10, 6), ranks)
            assert torch.equal(_masks(constraint, [weight], ranks)[0], constraint.select([weight])[0])
        else:
            with pytest.raises(
                ShapeError, match=rf"groups of 2 rows, .* slices of {10 // ranks} rows on {ranks} ranks"
            ):
                constraint.check_slices("fc", (10, 6), ranks)


def test_one_slice_that_holds_all_rows_has_nothing_to_straddle() -> None:
    Block((4, 1), 0.5).check_slices("fc", (4, 6), 1)


def test_a_set_that_says_nothing_is_refused_by_name() -> None:
    class Odd(Unstructured):
        check_slices = ConstraintSet.check_slices
        claims = ConstraintSet.claims

    with pytest.raises(UsageError, match=r"^fc: .*sparsity=0.5.* is not available for weights cut over 2 ranks. Use"):
        Odd(0.5).check_slices("fc", (4, 4), 2)
    with pytest.raises(UsageError, match="is not available for weights cut over several ranks"):
        Odd(0.5).claims([])


def test_floors_come_first_on_accelerators_and_change_nothing() -> None:
    """On accelerators nothing is read, so floors are always selected for; the meta device stands in for the count."""
    weights = [torch.randn(6, 5), 0.01 * torch.randn(7, 3), 10 * torch.randn(3, 3)]
    for floor in (0.0, 0.1, 0.5, 1.0):
        constraint = Global(0.8, floor=floor)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("slrprune.sets.claims._reads_freely", lambda claim: False)
            found = _masks(constraint, weights, 3)
        assert all(torch.equal(a, b) for a, b in zip(found, constraint.select(weights), strict=True))
