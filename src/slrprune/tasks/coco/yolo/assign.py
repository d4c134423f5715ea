"""Which place answers for which object."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from slrprune.tasks.coco.boxes import overlaps, shape_overlaps, sizes
from slrprune.tasks.coco.system import Objects


class Answers(NamedTuple):
    """The places of one image that must find an object, k of them, each another one.

    Attributes:
        places: number of the place, int64 (k,).
        boxes: what it must find, float32 (k, 4).
        labels: int64 (k,).
    """

    places: Tensor
    boxes: Tensor
    labels: Tensor


def assign(objects: Objects, size: tuple[int, int], strides: Sequence[int], anchors: Tensor) -> Answers:
    """For each object the anchor of the most similar shape, of all maps, in the cell that holds the object's center.

    Of several objects at one place the first one of the list is answered for.

    Args:
        objects: of one image.
        size: height and width of the image, pixels.
        strides: of each output map.
        anchors: float32 (maps, anchors of each, 2).

    Reference:
        J. Redmon, A. Farhadi, "YOLOv3: an incremental improvement", 2018, section 2.1.
    """
    count = anchors.shape[1]
    best = shape_overlaps(sizes(objects.boxes), anchors.reshape(-1, 2)).argmax(1)
    maps, own = best // count, best % count
    rows = torch.tensor([size[0] // stride for stride in strides], device=best.device)
    columns = torch.tensor([size[1] // stride for stride in strides], device=best.device)
    starts = torch.cumsum(rows * columns * count, 0) - rows * columns * count
    stride = torch.tensor(strides, device=best.device)[maps]
    x, y = ((objects.boxes[:, :2] + objects.boxes[:, 2:]) / 2 // stride[:, None]).long().unbind(1)
    x, y = torch.minimum(x, columns[maps] - 1), torch.minimum(y, rows[maps] - 1)
    places = starts[maps] + (y * columns[maps] + x) * count + own
    first = _first_of_each(places)
    return Answers(places[first], objects.boxes[first], objects.labels[first])


def _first_of_each(values: Tensor) -> Tensor:
    """Positions of the first of equal values, rising."""
    distinct, group = torch.unique(values, return_inverse=True)
    firsts = torch.full((len(distinct),), len(values), device=values.device)
    firsts.scatter_reduce_(0, group, torch.arange(len(values), device=values.device), "amin")
    return firsts.sort().values


def silent(found: Tensor, boxes: Tensor, threshold: float) -> Tensor:
    """Which places are neither punished nor rewarded for seeing an object unless they answer for one, bool (N,).

    Args:
        found: the boxes that the network predicts there, float32 (N, 4).
        boxes: of the objects, float32 (n, 4).
        threshold: a place is silent where its box overlaps an object by more.
    """
    if not len(boxes):
        return torch.zeros(len(found), dtype=torch.bool, device=found.device)
    return overlaps(found, boxes).amax(1) > threshold
