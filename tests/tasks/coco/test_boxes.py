"""Overlaps of boxes: cases by hand, torchvision, gradients."""

import math

import pytest
import torch

from slrprune.tasks.coco.boxes import complete_overlaps, overlaps, paired_overlaps, shape_overlaps


def random_boxes(count):
    corners = 80 * torch.rand(count, 2)
    return torch.cat([corners, corners + 1 + 60 * torch.rand(count, 2)], 1)


def test_overlaps_by_hand():
    first = torch.tensor([[0.0, 0, 10, 10]])
    second = torch.tensor([[0.0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10], [20, 20, 30, 30], [2, 2, 4, 4]])
    torch.testing.assert_close(overlaps(first, second), torch.tensor([[1, 1 / 3, 0, 0, 0.04]]))


def test_boxes_without_area_overlap_nothing():
    point = torch.tensor([[5.0, 5, 5, 5]])
    assert overlaps(point, torch.cat([point, torch.tensor([[0.0, 0, 10, 10]])])).tolist() == [[0, 0]]


def test_shapes_by_hand():
    found = shape_overlaps(torch.tensor([[2.0, 4]]), torch.tensor([[2.0, 4], [4, 2], [4, 8]]))
    torch.testing.assert_close(found, torch.tensor([[1, 4 / 12, 0.25]]))


def test_complete_overlap_by_hand():
    # Overlap 0; centers 30 apart; a box around both of 40 by 20; shapes 1:1 and 1:2.
    first, second = torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([[30.0, -5, 40, 15]])
    shape = 4 / math.pi**2 * (math.atan(1) - math.atan(0.5)) ** 2
    expected = 0 - 30**2 / (40**2 + 20**2) - shape / (1 + shape) * shape
    assert complete_overlaps(first, second).item() == pytest.approx(expected, rel=1e-5)


def test_complete_overlap_of_equal_boxes_is_one_and_has_a_gradient_of_zero():
    boxes = random_boxes(20)
    moved = boxes.clone().requires_grad_()
    values = complete_overlaps(moved, boxes)
    torch.testing.assert_close(values, torch.ones(20))
    values.sum().backward()
    assert torch.isfinite(moved.grad).all()


def test_torchvision_agrees():
    ops = pytest.importorskip("torchvision.ops")
    first, second = random_boxes(30), random_boxes(40)
    torch.testing.assert_close(overlaps(first, second), ops.box_iou(first, second))
    pairs = second[:30]
    torch.testing.assert_close(paired_overlaps(first, pairs), ops.box_iou(first, pairs).diagonal())
    expected = 1 - ops.complete_box_iou_loss(first, pairs)
    torch.testing.assert_close(complete_overlaps(first, pairs), expected, rtol=1e-4, atol=1e-5)
