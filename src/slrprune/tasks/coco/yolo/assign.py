"""Which place answers for which object."""

from collections.abc import Sequence

import torch
from torch import Tensor

from slrprune.tasks.coco.boxes import overlaps, shape_overlaps, sizes


def assign(boxes: Tensor, size: tuple[int, int], strides: Sequence[int], anchors: Tensor) -> Tensor:
    """For each object the anchor of the most similar shape, of all maps, in the cell that holds the object's center.

    Args:
        boxes: of objects, float32 (k, 4), pixels.
        size: height and width of the image, pixels.
        strides: of each output map.
        anchors: float32 (maps, anchors of each, 2).

    Returns:
        Numbers of places, int64 (k,); several objects may have the same.

    Reference:
        J. Redmon, A. Farhadi, "YOLOv3: an incremental improvement", 2018, section 2.1.
    """
    count = anchors.shape[1]
    best = shape_overlaps(sizes(boxes), anchors.reshape(-1, 2)).argmax(1)
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    # The place in every map, then the choice: a table of the maps would have to be copied to the device.
    start, found = 0, []
    for stride in strides:
        rows, columns = size[0] // stride, size[1] // stride
        x, y = (centers // stride).long().unbind(1)
        found.append(start + (y.clamp(max=rows - 1) * columns + x.clamp(max=columns - 1)) * count)
        start += rows * columns * count
    return torch.stack(found, 1).gather(1, (best // count)[:, None])[:, 0] + best % count


def is_first(places: Tensor, count: int) -> Tensor:
    """Where a place occurs for the first time, bool (k,): of several objects at one place the first is answered for.

    Args:
        places: int64 (k,), in [0, count).
        count: of all places.
    """
    order = torch.arange(len(places), device=places.device)
    first = order.new_full((count,), len(places)).scatter_reduce_(0, places, order, "amin")
    return first[places] == order


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
