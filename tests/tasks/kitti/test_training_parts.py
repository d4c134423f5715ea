"""Anchors, codes, matching and loss of PointPillars, on values worked out by hand."""

import math

import numpy as np
import pytest
import torch

from slrprune.tasks.kitti import coder
from slrprune.tasks.kitti.anchors import BACKGROUND, IGNORED, anchor_boxes, match
from slrprune.tasks.kitti.augment import augmented
from slrprune.tasks.kitti.design import CAR, PEOPLE
from slrprune.tasks.kitti.loss import scan_loss
from slrprune.tasks.kitti.network import Outputs

CARS = {"x": 10.0, "y": 0.0, "z": -1.0, "length": 3.9, "width": 1.6, "height": 1.5, "heading": 0.0}


def box(**changes):
    return torch.tensor(list((CARS | changes).values()))


def test_anchors_stand_in_the_middle_of_their_cells():
    anchors, classes = anchor_boxes(CAR)
    assert len(anchors) == 248 * 216 * 2
    assert anchors[0].tolist() == pytest.approx([0.16, -39.52, -1.0, 3.9, 1.6, 1.5, 0.0])
    assert anchors[1, 6].item() == pytest.approx(math.pi / 2)
    assert anchors[2, :2].tolist() == pytest.approx([0.48, -39.52])  # along x first, as the head's rows run
    assert anchors[-1, :2].tolist() == pytest.approx([69.12 - 0.16, 39.68 - 0.16], rel=1e-6)
    assert set(classes.tolist()) == {0}
    _, classes = anchor_boxes(PEOPLE)
    assert classes[:8].tolist() == [0, 0, 1, 1, 0, 0, 1, 1]


@pytest.mark.parametrize("heading", [-3.1, -1.6, -0.7, 0.0, 0.78, 0.79, 2.0, 3.1, 3.92, -2.36])
@pytest.mark.parametrize("anchor_heading", [0.0, math.pi / 2])
def test_codes_bring_the_box_back(heading, anchor_heading):
    wanted = box(x=11.0, y=-2.0, length=4.5, height=1.4, heading=heading)
    anchor = box(heading=anchor_heading)
    code = coder.encode(wanted, anchor)
    back = coder.decode(code, anchor, coder.direction(wanted[6]))
    torch.testing.assert_close(back[:6], wanted[:6])
    assert math.cos(back[6] - heading) == pytest.approx(1, abs=1e-6)
    # A heading predicted the wrong way round is set right by the direction.
    code[6] += math.pi
    back = coder.decode(code, anchor, coder.direction(wanted[6]))
    assert math.cos(back[6] - heading) == pytest.approx(1, abs=1e-6)


def test_codes_are_those_of_the_paper():
    code = coder.encode(box(x=11.0, y=1.0, z=-0.7, length=3.9 * math.e), box())
    diagonal = math.hypot(3.9, 1.6)
    assert code.tolist() == pytest.approx([1 / diagonal, 1 / diagonal, 0.3 / 1.5, 1, 0, 0, 0], abs=1e-6)


def test_a_huge_code_does_not_overflow():
    back = coder.decode(torch.full((7,), 1e4), box(), torch.tensor(1))
    assert torch.isfinite(back).all()


def matched(anchors, boxes, classes=None, design=CAR):
    anchors, boxes = torch.stack(anchors), torch.stack(boxes)
    numbers = torch.zeros(len(boxes), dtype=torch.int64) if classes is None else torch.tensor(classes)
    return match(anchors, torch.zeros(len(anchors), dtype=torch.int64), boxes, numbers, design).tolist()


def test_anchors_answer_by_their_overlap():
    # Shifted by d along its length, a box overlaps by (3.9 - d) / (3.9 + d): 0.6 at 0.975 m, 0.45 at 1.479 m.
    anchors = [box(x=10.0 + shift) for shift in (0.0, 0.97, 0.98, 1.47, 1.49, 8.0)]
    assert matched(anchors, [box()]) == [0, 0, IGNORED, IGNORED, BACKGROUND, BACKGROUND]


def test_an_object_that_no_anchor_fits_takes_the_best_one():
    assert matched([box(x=12.5), box(x=13.0)], [box()]) == [0, BACKGROUND]
    assert matched([box(x=30.0)], [box()]) == [BACKGROUND]


def test_anchors_prefer_the_object_they_overlap_most():
    assert matched([box(x=10.2), box(x=12.0)], [box(), box(x=12.1)]) == [0, 1]


def test_other_classes_and_padding_are_not_answered_for():
    assert matched([box()], [box()], [1], PEOPLE) == [BACKGROUND]
    assert matched([box()], [box()], [-1]) == [BACKGROUND]
    assert match(torch.stack([box()]), torch.zeros(1, dtype=torch.int64), torch.zeros(0, 7), torch.zeros(0), CAR) == -1


def test_turned_boxes_are_compared_upright():
    across = box(heading=math.pi / 2)
    assert matched([across, box()], [box(heading=math.pi / 2 + 0.4)]) == [0, BACKGROUND]
    assert matched([across, box()], [box(heading=-0.3)]) == [BACKGROUND, 0]


def test_the_loss_is_the_papers():
    anchors = torch.stack([box(), box(x=20.0), box(x=30.0)])
    boxes = torch.stack([box(x=10.0 + math.hypot(3.9, 1.6) * 0.5, heading=0.2)])
    logits = torch.tensor([[0.4], [-1.0], [3.0]])
    directions = torch.tensor([[0.3, -0.2], [0.0, 0.0], [0.0, 0.0]])
    outputs = Outputs(logits, torch.zeros(3, 7), directions)
    answers = torch.tensor([0, BACKGROUND, IGNORED])
    loss = scan_loss(outputs, anchors, answers, boxes, torch.tensor([0]))

    def smooth(error):
        return error**2 / 2 * 9 if abs(error) < 1 / 9 else abs(error) - 1 / 18

    location = smooth(0.5) + smooth(math.sin(0.2))
    p, q = 1 / (1 + math.exp(-0.4)), 1 / (1 + math.exp(1.0))
    classes = -0.25 * (1 - p) ** 2 * math.log(p) - 0.75 * q**2 * math.log(1 - q)
    # A heading of 0.2 lies in the second half turn, [5 pi/4, pi/4).
    ways = math.log(1 + math.exp(0.3 + 0.2))
    assert loss.item() == pytest.approx(2 * location + classes + 0.2 * ways, rel=1e-5)


def test_a_scan_without_objects_has_the_loss_of_its_background():
    outputs = Outputs(torch.tensor([[-1.0]]), torch.zeros(1, 7), torch.zeros(1, 2))
    q = 1 / (1 + math.exp(1.0))
    expected = -0.75 * q**2 * math.log(1 - q)
    for boxes, classes in ((torch.zeros(0, 7), torch.zeros(0)), (torch.stack([box()]), torch.tensor([-1]))):
        loss = scan_loss(outputs, torch.stack([box()]), torch.tensor([BACKGROUND]), boxes, classes.long())
        assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_augmented_points_stay_in_their_boxes():
    rng = np.random.default_rng(0)
    boxes = np.array([[10, 3, -1, 3.9, 1.6, 1.5, 0.4], [20, -5, -1, 3.9, 1.6, 1.5, -2.0]])
    points = np.column_stack([rng.uniform((5, -8, -3), (25, 8, 1), (3000, 3)), rng.random(3000)]).astype(np.float32)

    def inside(points, boxes):
        shifted = points[:, None, :3] - boxes[None, :, :3]
        cosine, sine = np.cos(boxes[:, 6]), np.sin(boxes[:, 6])
        along = shifted[..., 0] * cosine + shifted[..., 1] * sine
        across = shifted[..., 1] * cosine - shifted[..., 0] * sine
        place = np.stack([along, across, shifted[..., 2]], axis=2)
        return points[:, None, 3][(np.abs(place) < boxes[None, :, 3:6] / 2).all(axis=2).any(axis=1)].ravel()

    before = np.sort(inside(points, boxes))
    assert len(before) > 20
    for seed in range(6):
        new_points, new_boxes = augmented(points, boxes, np.random.default_rng(seed))
        np.testing.assert_array_equal(np.sort(inside(new_points, new_boxes)), before)
        assert not np.allclose(new_boxes, boxes)
    assert points.dtype == new_points.dtype
