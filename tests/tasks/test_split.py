"""Seeded splits: everyone once, every class in its share, the same each time."""

import pytest
import torch

from slrprune.errors import ArgumentError
from slrprune.tasks.split import stratified_folds, stratified_holdout

TARGETS = torch.tensor([0] * 50 + [1] * 31 + [2] * 7)[torch.randperm(88, generator=torch.Generator().manual_seed(1))]


@pytest.mark.parametrize("folds", [2, 5, 10, 88])
def test_folds_are_even_in_size_and_in_every_class(folds):
    fold = stratified_folds(TARGETS, folds)
    sizes = torch.bincount(fold, minlength=folds)
    assert sizes.sum() == 88
    assert sizes.max() - sizes.min() <= 1
    for label in range(3):
        counts = torch.bincount(fold[label == TARGETS], minlength=folds)
        assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize("size", [0, 1, 9, 44, 87, 88])
def test_holdout_has_its_size_and_the_share_of_every_class(size):
    held_out = stratified_holdout(TARGETS, size)
    assert held_out.dtype == torch.bool
    assert int(held_out.sum()) == size
    for label, count in enumerate((50, 31, 7)):
        assert abs(int(held_out[label == TARGETS].sum()) - count * size / 88) < 1


def test_splits_depend_on_the_seed_and_on_nothing_else():
    folds, held_out = stratified_folds(TARGETS, 5, seed=1), stratified_holdout(TARGETS, 20, seed=1)
    torch.manual_seed(123)
    before = torch.get_rng_state()
    assert torch.equal(stratified_folds(TARGETS, 5, seed=1), folds)
    assert torch.equal(stratified_holdout(TARGETS, 20, seed=1), held_out)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(stratified_folds(TARGETS, 5, seed=2), folds)
    assert not torch.equal(stratified_holdout(TARGETS, 20, seed=2), held_out)


@pytest.mark.parametrize("folds", [1, 89])
def test_impossible_number_of_folds_is_refused(folds):
    with pytest.raises(ArgumentError, match=rf"stratified_folds\(folds={folds}\): folds must be in \[2, 88\]\."):
        stratified_folds(TARGETS, folds)


@pytest.mark.parametrize("size", [-1, 89])
def test_impossible_holdout_is_refused(size):
    with pytest.raises(ArgumentError, match=rf"stratified_holdout\(size={size}\): size must be in \[0, 88\]\."):
        stratified_holdout(TARGETS, size)
