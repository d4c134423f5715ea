"""Suppression: by hand, against the search one by one, against torchvision."""

import pytest
import torch

from slrprune.tasks.coco.boxes import overlaps
from slrprune.tasks.coco.suppress import best_detections, suppress


def one_by_one(boxes, scores, labels, threshold):
    """The definition: from the top, each box that is still there removes those below."""
    table = overlaps(boxes, boxes)
    kept = []
    for index in torch.argsort(scores, descending=True, stable=True).tolist():
        if all(labels[other] != labels[index] or table[other, index] <= threshold for other in kept):
            kept.append(index)
    return kept


def crowd(count, seed):
    generator = torch.Generator().manual_seed(seed)
    corners = 60 * torch.rand(count, 2, generator=generator)
    boxes = torch.cat([corners, corners + 10 + 30 * torch.rand(count, 2, generator=generator)], 1)
    # Few distinct scores, so that there are ties.
    scores = torch.randint(1, 30, (count,), generator=generator) / 30
    return boxes, scores, torch.randint(0, 3, (count,), generator=generator)


@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.45, 0.8])
@pytest.mark.parametrize("count", [1, 2, 40, 150])
def test_the_search_one_by_one_finds_the_same(count, threshold):
    for seed in range(5):
        boxes, scores, labels = crowd(count, seed)
        assert suppress(boxes, scores, labels, threshold).tolist() == one_by_one(boxes, scores, labels, threshold)


@pytest.mark.parametrize("threshold", [0.2, 0.45])
def test_torchvision_finds_the_same(threshold):
    ops = pytest.importorskip("torchvision.ops")
    boxes, _, labels = crowd(150, 7)
    scores = torch.linspace(1, 0.01, 150)[torch.randperm(150)]  # torchvision leaves the order of ties open
    try:
        expected = ops.batched_nms(boxes, scores, labels, threshold)
    except RuntimeError as error:
        pytest.skip(f"torchvision's compiled operators are not to be had: {str(error)[:60]}")
    assert suppress(boxes, scores, labels, threshold).tolist() == expected.tolist()


def test_a_removed_box_removes_nothing():
    # Each overlaps the next by 7/13, the one after by 1/4: the second goes, so the third stays.
    boxes = torch.tensor([[0.0, 0, 10, 10], [3, 0, 13, 10], [6, 0, 16, 10], [9, 0, 19, 10]])
    scores, labels = torch.tensor([0.9, 0.8, 0.7, 0.6]), torch.zeros(4, dtype=torch.long)
    assert suppress(boxes, scores, labels, 0.5).tolist() == [0, 2]


def test_another_label_is_left_alone():
    boxes = torch.tensor([[0.0, 0, 10, 10]]).repeat(3, 1)
    scores = torch.tensor([0.5, 0.9, 0.7])
    assert suppress(boxes, scores, torch.tensor([0, 1, 0]), 0.5).tolist() == [1, 2]


def test_nothing_at_all():
    assert suppress(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.long), 0.5).tolist() == []


def test_the_best_are_taken_and_one_box_may_show_two_categories():
    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 0, 11, 10], [50, 50, 60, 60]])
    scores = torch.tensor([[0.9, 0.6], [0.8, 0.7], [0.001, 0.05]])
    found = best_detections(boxes, scores, threshold=0.45, lowest=0.01)
    torch.testing.assert_close(found.scores, torch.tensor([0.9, 0.7, 0.05]))
    assert found.labels.tolist() == [0, 1, 1]
    assert found.boxes.tolist() == [boxes[0].tolist(), boxes[1].tolist(), boxes[2].tolist()]
    assert len(best_detections(boxes, scores, threshold=0.45, lowest=0.01, most=1).scores) == 1
    assert len(best_detections(boxes, scores, threshold=0.45, lowest=0.01, candidates=2).scores) == 1
    assert len(best_detections(boxes, scores, threshold=0.45, lowest=0.95).scores) == 0
