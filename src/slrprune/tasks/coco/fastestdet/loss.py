"""The training loss of FastestDet."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from slrprune.tasks.coco.fastestdet.decode import STRIDE, cells, decode
from slrprune.tasks.coco.fastestdet.siou import siou
from slrprune.tasks.coco.system import Objects

BOX_WEIGHT, OBJECT_WEIGHT = 8.0, 16.0
"""Of boxes and objects beside the categories, as published."""


class Pairs(NamedTuple):
    """Cells that may answer for an object, each with that object; k of them, over all images of a batch.

    Attributes:
        images: number of the image, int64 (k,).
        places: number of the cell, row by row, int64 (k,).
        boxes: float32 (k, 4).
        labels: int64 (k,).
    """

    images: Tensor
    places: Tensor
    boxes: Tensor
    labels: Tensor

    def only(self, chosen: Tensor) -> "Pairs":
        """Those that a mask chooses."""
        return Pairs(*(tensor[chosen] for tensor in self))


def pairs(objects: Sequence[Objects], size: tuple[int, int]) -> Pairs:
    """Each object with the cell of its center and the next ones to the right, below, and both, inside the map."""
    boxes = torch.cat([seen.boxes for seen in objects])
    labels = torch.cat([seen.labels for seen in objects])
    counts = torch.tensor([len(seen.labels) for seen in objects], device=boxes.device)
    images = torch.repeat_interleave(torch.arange(len(objects), device=boxes.device), counts)
    rows, columns = size[0] // STRIDE, size[1] // STRIDE
    steps = torch.tensor([[0, 0], [1, 0], [0, 1], [1, 1]], device=boxes.device)
    at = ((boxes[:, :2] + boxes[:, 2:]) / 2 // STRIDE).long()[None] + steps[:, None]
    inside = (at[..., 0] < columns) & (at[..., 1] < rows)
    places = at[..., 1] * columns + at[..., 0]
    every = Pairs(images.repeat(4), places.reshape(-1), boxes.repeat(4, 1), labels.repeat(4))
    return every.only(inside.reshape(-1))


def batch_loss(numbers: Tensor, objects: Sequence[Objects], size: tuple[int, int]) -> Tensor:
    """The loss of a batch, a float32 scalar, as published but for two points.

    Of the pairs, those count whose SIoU is at least the mean of the batch (published: above it, which leaves none
    where all are alike). What a cell is to say of its object, the SIoU of its box, is a constant for the gradient and
    not below 0; of several objects in one cell the best box counts.

    Args:
        numbers: object, box, categories of each cell, float32 (n, cells, 5 + classes).
        objects: of each image.
        size: height and width of the images, pixels.
    """
    found = pairs(objects, size)
    chance = torch.sigmoid(numbers[..., 0])
    right, weight = torch.zeros_like(chance), torch.full_like(chance, 0.75)
    parts = numbers.new_zeros(())
    if len(found.places):
        at = cells(size, numbers.device)[found.places]
        alike = siou(decode(numbers[found.images, found.places, 1:5], at, size), found.boxes)
        chosen = alike.detach() >= alike.detach().mean()
        alike, found = alike[chosen], found.only(chosen)
        categories = F.cross_entropy(numbers[found.images, found.places, 5:], found.labels)
        parts = BOX_WEIGHT * (1 - alike).mean() + categories
        _mark(right, weight, found, alike.detach())
    objectness = (F.smooth_l1_loss(chance, right, reduction="none") * weight).mean()
    return parts + OBJECT_WEIGHT * objectness


def _mark(right: Tensor, weight: Tensor, found: Pairs, alike: Tensor) -> None:
    """Fills in what the chosen cells are to say, and how much they count: as one image's worth of cells together."""
    count, width = right.shape
    number = torch.bincount(found.images, minlength=count).to(alike.dtype)
    flat = found.images * width + found.places
    right.view(-1).scatter_reduce_(0, flat, alike.clamp(min=0), "amax")
    weight.view(-1)[flat] = 0.25 * width / number[found.images]
