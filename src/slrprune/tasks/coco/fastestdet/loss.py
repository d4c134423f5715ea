"""The training loss of FastestDet."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from slrprune.tasks.coco.fastestdet.decode import STRIDE, cells, decode
from slrprune.tasks.coco.fastestdet.siou import siou
from slrprune.tasks.coco.gathered import gathered
from slrprune.tasks.coco.object_count import mean_object_count, sum_over_processes
from slrprune.tasks.coco.system import Objects

BOX_WEIGHT, OBJECT_WEIGHT = 8.0, 16.0
"""Of boxes and objects beside the categories, as published."""


STEPS = ((0, 0), (1, 0), (0, 1), (1, 1))
"""Columns and rows from the cell of an object's center to the cells that may answer for it."""


class Pairs(NamedTuple):
    """Cells that may answer for an object, each with that object; k of them, over all images of a batch.

    Attributes:
        images: number of the image, int64 (k,).
        places: number of the cell, row by row, int64 (k,); 0 where it is outside.
        boxes: float32 (k, 4).
        labels: int64 (k,).
        inside: whether the cell is one of the map, bool (k,); the others count nowhere.
    """

    images: Tensor
    places: Tensor
    boxes: Tensor
    labels: Tensor
    inside: Tensor


def pairs(objects: Sequence[Objects], size: tuple[int, int]) -> Pairs:
    """Each object with the cell of its center and the next ones to the right, below, and both."""
    boxes, labels, images = gathered(objects)
    rows, columns = size[0] // STRIDE, size[1] // STRIDE
    x, y = ((boxes[:, :2] + boxes[:, 2:]) / 2 // STRIDE).long().unbind(1)
    xs, ys = (torch.cat(parts) for parts in ([x + step for step, _ in STEPS], [y + step for _, step in STEPS]))
    inside = (xs < columns) & (ys < rows)
    places = torch.where(inside, ys * columns + xs, 0)
    return Pairs(images.repeat(4), places, boxes.repeat(4, 1), labels.repeat(4), inside)


def batch_loss(numbers: Tensor, objects: Sequence[Objects], size: tuple[int, int]) -> Tensor:
    """The loss of a batch, a float32 scalar, as published but for two points.

    Of the pairs, those count whose SIoU is at least the mean of the batch (published: above it, which leaves none
    where all are alike). What a cell is to say of its object, the SIoU of its box, is a constant for the gradient and
    not below 0; of several objects in one cell the best box counts. Several processes take that mean over all of them
    and divide by their mean number of pairs, so that the mean of their losses is that of the whole batch. Nothing is
    copied between host and device, and nothing waits for it.

    Args:
        numbers: object, box, categories of each cell, float32 (n, cells, 5 + classes).
        objects: of each image.
        size: height and width of the images, pixels.
    """
    found = pairs(objects, size)
    chance = torch.sigmoid(numbers[..., 0])
    said = numbers[found.images, found.places]
    at = cells(size, numbers.device)[found.places]
    alike = siou(decode(said[:, 1:5], at, size), found.boxes)
    chosen = found.inside & (alike.detach() >= _threshold(alike.detach(), found.inside))
    categories = F.cross_entropy(said[:, 5:], found.labels, reduction="none")
    parts = torch.where(chosen, BOX_WEIGHT * (1 - alike) + categories, 0).sum()
    parts = parts / mean_object_count(chosen.sum(), numbers.device)
    right, weight = _wanted(chance.shape, found, chosen, alike.detach())
    objectness = (F.smooth_l1_loss(chance, right, reduction="none") * weight).mean()
    return parts + OBJECT_WEIGHT * objectness


def _threshold(alike: Tensor, inside: Tensor) -> Tensor:
    """The mean SIoU of the pairs inside, over all processes; 0 where there are none."""
    found = sum_over_processes(torch.stack([torch.where(inside, alike, 0).sum(), inside.sum().to(alike.dtype)]))
    return found[0] / found[1].clamp(min=1)


def _wanted(shape: torch.Size, found: Pairs, chosen: Tensor, alike: Tensor) -> tuple[Tensor, Tensor]:
    """What the cells are to say, and how much they count: the chosen ones as one image's worth of cells together."""
    count, width = shape
    flat, votes = found.images * width + found.places, chosen.to(alike.dtype)
    number = alike.new_zeros(count).index_add_(0, found.images, votes)
    right, marked = (alike.new_zeros(count * width) for _ in range(2))
    right.scatter_reduce_(0, flat, alike.clamp(min=0) * votes, "amax")
    marked.scatter_reduce_(0, flat, votes, "amax")
    weight = torch.where(marked.view(shape) > 0, 0.25 * width / number.clamp(min=1)[:, None], 0.75)
    return right.view(shape), weight
