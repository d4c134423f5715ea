"""Boxes upright in the image, and how far two of them overlap.

A box is left, top, right, bottom in pixels, in the last dimension of a tensor.
"""

import math

import torch
from torch import Tensor

_SMALLEST = 1e-9
"""Keeps quotients of empty boxes finite; far below the area of any pixel."""


def areas(boxes: Tensor) -> Tensor:
    """Area of each box, 0 where right is left of left; (..., 4) gives (...)."""
    width, height = (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).unbind(-1)
    return width * height


def overlaps(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of each box with each, (n, 4) and (m, 4) give (n, m)."""
    return paired_overlaps(first[:, None], second[None])


def paired_overlaps(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of boxes in pairs, (..., 4) twice, broadcast, gives (...)."""
    common = _common(first, second)
    return common / (areas(first) + areas(second) - common).clamp(min=_SMALLEST)


def shape_overlaps(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of each size with each, both at one corner; widths and heights (n, 2), (m, 2): (n, m)."""
    common = torch.minimum(first[:, None], second[None]).prod(-1)
    return common / (first.prod(-1)[:, None] + second.prod(-1)[None] - common).clamp(min=_SMALLEST)


def complete_overlaps(first: Tensor, second: Tensor) -> Tensor:
    """Complete IoU of boxes in pairs, in [-2.5, 1], differentiable; (..., 4) twice gives (...).

    Of the overlap are taken: the distance of the centers over the diagonal of both boxes together, squared, and the
    difference of the two shapes, whose weight counts as a constant for the gradient.

    Reference:
        Z. Zheng et al., "Distance-IoU loss", AAAI 2020, equations 7 to 11.
    """
    overlap = paired_overlaps(first, second)
    distance = (_centers(first) - _centers(second)).square().sum(-1)
    around = torch.maximum(first[..., 2:], second[..., 2:]) - torch.minimum(first[..., :2], second[..., :2])
    shape = (4 / math.pi**2) * (_slant(first) - _slant(second)).square()
    with torch.no_grad():
        weight = shape / (1 - overlap + shape).clamp(min=_SMALLEST)
    return overlap - distance / around.square().sum(-1).clamp(min=_SMALLEST) - weight * shape


def sizes(boxes: Tensor) -> Tensor:
    """Widths and heights, (..., 4) gives (..., 2)."""
    return boxes[..., 2:] - boxes[..., :2]


def around(centers: Tensor, sizes: Tensor) -> Tensor:
    """Boxes of these centers x, y and of these widths and heights, (..., 2) twice gives (..., 4)."""
    return torch.cat([centers - sizes / 2, centers + sizes / 2], -1)


def _centers(boxes: Tensor) -> Tensor:
    return (boxes[..., :2] + boxes[..., 2:]) / 2


def _slant(boxes: Tensor) -> Tensor:
    width, height = sizes(boxes).unbind(-1)
    return torch.atan(width / height.clamp(min=_SMALLEST))


def _common(first: Tensor, second: Tensor) -> Tensor:
    low = torch.maximum(first[..., :2], second[..., :2])
    high = torch.minimum(first[..., 2:], second[..., 2:])
    return (high - low).clamp(min=0).prod(-1)
