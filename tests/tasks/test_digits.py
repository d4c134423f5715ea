"""The digits task: folds that partition, a model that learns, scikit-learn missing."""

import sys

import pytest
import torch

from slrprune.errors import ArgumentError, MissingExtraError
from slrprune.tasks import Digits


@pytest.fixture(scope="module")
def folds():
    return [Digits(fold) for fold in range(5)]


def keys(task, *splits):
    """The images of some splits as values that can be sorted and compared."""
    return sorted(image.numpy().tobytes() for split in splits for image in task.examples(split).inputs)


def test_every_image_is_in_one_split_of_a_fold_and_in_the_test_split_of_one_fold(folds):
    everything = keys(folds[0], "train", "val", "test")
    assert len(everything) == 1797
    assert all(keys(task, "train", "val", "test") == everything for task in folds)
    assert sorted(key for task in folds for key in keys(task, "test")) == everything


def test_splits_have_their_sizes_and_all_classes(folds):
    for task in folds:
        sizes = [len(task.examples(split).targets) for split in ("train", "val", "test")]
        assert sizes[1] in (179, 180)
        assert sizes[2] in (358, 359, 360)
        for split, share in (("val", 0.1), ("test", 0.2)):
            counts = torch.bincount(task.examples(split).targets, minlength=10)
            assert ((counts - 180 * share).abs() <= 2).all()


def test_the_split_is_always_the_same(folds):
    torch.manual_seed(77)
    assert all(keys(Digits(3), split) == keys(folds[3], split) for split in ("train", "val", "test"))


def test_inputs_are_scaled_to_one(folds):
    inputs, targets = next(folds[0].batches("test"))
    assert inputs.shape[1:] == (1, 8, 8)
    assert inputs.dtype == torch.float32
    assert (inputs.min().item(), inputs.max().item()) == (-1.0, 1.0)
    assert targets.dtype == torch.int64


def test_shift_moves_training_images_by_one_pixel_at_most():
    plain = next(Digits(shift=0).batches("train"))[0]
    task = Digits(shift=1)
    moved = next(task.batches("train"))[0]
    assert moved.shape == plain.shape
    assert not torch.equal(moved, plain)
    draws = task.augment.draw(1000, torch.Generator().manual_seed(0))
    assert draws[:, :2].unique().tolist() == [0, 1, 2]
    assert not draws[:, 2].any()


def test_model_is_drawn_from_the_global_generator(folds):
    torch.manual_seed(1)
    first = folds[0].build_model()
    torch.manual_seed(1)
    second = folds[0].build_model()
    assert all(map(torch.equal, first.parameters(), second.parameters()))
    assert sum(parameter.numel() for parameter in first.parameters()) == 59_986
    assert not torch.equal(folds[0].build_model().conv2.weight, first.conv2.weight)


def test_a_short_training_already_reads_digits(folds):
    task = folds[0]
    model = task.build_model()
    optimizer = task.dense_recipe.optimizer(model)
    for epoch in range(3):
        for batch in task.batches("train", epoch):
            optimizer.zero_grad()
            task.loss(model, batch).backward()
            optimizer.step()
    assert task.evaluate(model, "val") > 90


@pytest.mark.parametrize("fold", [-1, 5, None])
def test_a_fold_out_of_range_is_refused(fold):
    with pytest.raises(ArgumentError, match=rf"Digits\(fold={fold}\): fold must be in 0 to 4\."):
        Digits(fold)


def test_without_scikit_learn_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(MissingExtraError, match=r"The digits task needs scikit-learn\. .*'slrprune\[demo\]'"):
        Digits()
