"""Anchors, and which objects they answer for."""

import math

import torch
from torch import Tensor

from slrprune.tasks.kitti.design import Design

IGNORED, BACKGROUND = -2, -1
"""Marks of anchors that answer for no object, see `match`."""


def anchor_boxes(design: Design) -> tuple[Tensor, Tensor]:
    """All anchors of a design.

    Returns:
        Boxes float32 (A, 7) in the order of the head's outputs: by row, column, class, then along x and along y; and
        their classes, int64 (A,).
    """
    rows, columns = (count // design.stride for count in design.grid)
    spacing = design.pillar * design.stride
    y = design.low[1] + spacing * (torch.arange(rows, dtype=torch.float64) + 0.5)
    x = design.low[0] + spacing * (torch.arange(columns, dtype=torch.float64) + 0.5)
    priors = [(anchor.center, *anchor.size, heading) for anchor in design.anchors for heading in (0.0, math.pi / 2)]
    here = torch.tensor(priors, dtype=torch.float64)
    shape = (rows, columns, len(priors))
    places = torch.stack([x.expand(rows, columns), y[:, None].expand(rows, columns)], dim=2)
    boxes = torch.cat([places[:, :, None].expand(*shape, 2), here.expand(*shape, 5)], dim=3)
    classes = torch.arange(len(design.anchors)).repeat_interleave(2).expand(shape)
    return boxes.reshape(-1, 7).float(), classes.reshape(-1)


def match(anchors: Tensor, anchor_classes: Tensor, boxes: Tensor, classes: Tensor, design: Design) -> Tensor:
    """The object that each anchor answers for.

    An anchor answers for the object of its class that it overlaps most, if by `matched` at least, or if no anchor
    overlaps that object more; below `unmatched` it is background. Overlaps are those of the upright rectangles that
    are nearest to the boxes (paper, section 4.1: "matching uses 2D IoU").

    Args:
        anchors: (A, 7).
        anchor_classes: (A,).
        boxes: objects (g, 7), g may be 0.
        classes: of the objects, (g,).
        design: gives the thresholds.

    Returns:
        int64 (A,): number of the object, or `BACKGROUND`, or `IGNORED`.
    """
    if not len(boxes):
        return torch.full_like(anchor_classes, BACKGROUND)
    overlap = _upright_overlaps(anchors, boxes)
    overlap = overlap.masked_fill(anchor_classes[:, None] != classes[None], 0)
    best, object_number = overlap.max(dim=1)
    limits = overlap.new_tensor([(anchor.matched, anchor.unmatched) for anchor in design.anchors])[anchor_classes]
    answer = torch.where(best >= limits[:, 0], object_number, IGNORED)
    answer = torch.where(best < limits[:, 1], BACKGROUND, answer)
    most = overlap.max(dim=0).values
    forced = (overlap == most) & (most > 0)
    return torch.where(forced.any(dim=1), _last_true(forced), answer)


def _last_true(marks: Tensor) -> Tensor:
    """Number of the last true column of each row (A, g); 0 where there is none."""
    return (marks * torch.arange(1, marks.shape[1] + 1, device=marks.device)).amax(dim=1).sub(1).clamp(min=0)


def _upright_overlaps(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union (n, m) of the upright rectangles nearest to boxes (n, 7) and (m, 7)."""
    low_a, high_a = _upright(first)
    low_b, high_b = _upright(second)
    sides = torch.minimum(high_a[:, None], high_b[None]) - torch.maximum(low_a[:, None], low_b[None])
    common = sides[..., 0].clamp(min=0) * sides[..., 1].clamp(min=0)
    area_a, area_b = (high_a - low_a).prod(dim=1), (high_b - low_b).prod(dim=1)
    return common / (area_a[:, None] + area_b[None] - common)


def _upright(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Corners (n, 2) and (n, 2) of the rectangles with the sides along x and y, turned by pi / 4 at most."""
    turned = boxes[:, 6].sin().abs() > boxes[:, 6].cos().abs()
    sides = torch.where(turned[:, None], boxes[:, [4, 3]], boxes[:, [3, 4]])
    return boxes[:, :2] - sides / 2, boxes[:, :2] + sides / 2
