"""SIoU, the overlap with which FastestDet is trained."""

import torch
from torch import Tensor

from slrprune.tasks.coco.boxes import paired_overlaps, sizes

_SMALLEST = 1e-9


def siou(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union minus half of a cost of distance and a cost of shape, in pairs: (..., 4) gives (...).

    The distance counts less where it runs along one axis. With d the vector between the centers, the paper's angle
    cost 1 - 2 sin^2(arcsin(|d_y| / |d|) - pi/4) is 2 |d_x| |d_y| / |d|^2.

    Reference:
        Z. Gevorgyan, "SIoU loss", arXiv 2205.12740, section 2.
    """
    away = (first[..., :2] + first[..., 2:] - second[..., :2] - second[..., 2:]) / 2
    whole = torch.maximum(first[..., 2:], second[..., 2:]) - torch.minimum(first[..., :2], second[..., :2])
    angle = 2 * away.abs().prod(-1) / away.square().sum(-1).clamp(min=_SMALLEST)
    parts = (away / whole.clamp(min=_SMALLEST)).square()
    distance = (1 - torch.exp(-(2 - angle)[..., None] * parts)).sum(-1)
    one, other = sizes(first), sizes(second)
    unlike = (one - other).abs() / torch.maximum(one, other).clamp(min=_SMALLEST)
    shape = (1 - torch.exp(-unlike)).pow(4).sum(-1)
    return paired_overlaps(first, second) - (distance + shape) / 2
