"""Seeded splits that keep the share of every class."""

import torch
from torch import Tensor

from slrprune.errors import ArgumentError


def stratified_folds(targets: Tensor, folds: int, seed: int = 0) -> Tensor:
    """Deals the examples out into folds like cards, class by class, shuffled within each class.

    Fold sizes differ by at most one, and so do a class's counts in any two folds.

    Args:
        targets: int64 of shape (n,), class numbers.
        folds: how many, in [2, n].
        seed: of the shuffle.

    Returns:
        int64 of shape (n,): the fold of every example.

    Raises:
        ArgumentError: fewer than two folds, or more folds than examples.
    """
    if not 2 <= folds <= len(targets):
        raise ArgumentError("stratified_folds", "folds", folds, f"must be in [2, {len(targets)}]")
    fold = torch.empty_like(targets)
    fold[_by_class(targets, seed)] = torch.arange(len(targets)) % folds
    return fold


def stratified_holdout(targets: Tensor, size: int, seed: int = 0) -> Tensor:
    """Marks `size` examples to be held out, spread evenly over the classes, at random within each class.

    Sorted by class and shuffled within it, the examples at positions floor((i + 1/2) n / size), i = 0, 1, ..., are
    held out, so that a class of m examples loses m * size / n of them, up to one.

    Args:
        targets: int64 of shape (n,), class numbers.
        size: how many, in [0, n].
        seed: of the shuffle.

    Returns:
        bool of shape (n,), True = held out.

    Raises:
        ArgumentError: a size out of range.
    """
    count = len(targets)
    if not 0 <= size <= count:
        raise ArgumentError("stratified_holdout", "size", size, f"must be in [0, {count}]")
    held_out = torch.zeros(count, dtype=torch.bool)
    if size:
        positions = (2 * torch.arange(size) + 1) * count // (2 * size)
        held_out[_by_class(targets, seed)[positions]] = True
    return held_out


def _by_class(targets: Tensor, seed: int) -> Tensor:
    """Indices of the examples, class after class, in random order within each class."""
    shuffled = torch.randperm(len(targets), generator=torch.Generator().manual_seed(seed))
    return shuffled[torch.argsort(targets[shuffled], stable=True)]
