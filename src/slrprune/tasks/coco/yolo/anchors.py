"""Sizes of boxes to start from: k-means over the boxes of a training split."""

import torch
from torch import Tensor

from slrprune.tasks.coco.boxes import shape_overlaps


def fit_anchors(sizes: Tensor, count: int, rounds: int = 300) -> Tensor:
    """Widths and heights of `count` anchors, the smallest area first, float32 (count, 2).

    k-means whose distance is 1 minus the overlap of two boxes at one corner. It begins with boxes at equal steps of
    the boxes sorted by area, so that it draws no random numbers, and ends when no box changes its anchor. An anchor
    that no box is nearest to stays where it is.

    Args:
        sizes: widths and heights of boxes, float32 (n, 2), positive, at least one.
        count: of anchors, at least 1.
        rounds: at most.

    Reference:
        J. Redmon, A. Farhadi, "YOLO9000", CVPR 2017, section 2.
    """
    by_area = sizes[torch.argsort(sizes.prod(1), stable=True)].float()
    steps = (torch.arange(count) + 0.5) / count * len(by_area)
    anchors = by_area[steps.long()].clone()
    nearest = torch.full((len(by_area),), -1)
    for _ in range(rounds):
        found = shape_overlaps(by_area, anchors).argmax(1)
        if torch.equal(found, nearest):
            break
        nearest = found
        for place in range(count):
            members = by_area[nearest == place]
            if len(members):
                anchors[place] = members.mean(0)
    return anchors[torch.argsort(anchors.prod(1), stable=True)]
