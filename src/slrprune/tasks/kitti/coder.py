"""Boxes relative to anchors, and back.

Lang et al., CVPR 2019, section 2.3, after Y. Yan, Y. Mao, B. Li, "SECOND", Sensors 2018, equation 1: with
d = sqrt(length^2 + width^2) of the anchor, the center moves by (x - xa) / d, (y - ya) / d, (z - za) / height_a, the
size by logarithms of ratios, the heading by its difference. A box turned by pi looks the same to the loss, which takes
the sine of that difference; a classifier of two directions tells the ways apart.
"""

import math

import torch
from torch import Tensor

CUT = math.pi / 4
"""Where one direction ends and the other begins, radians. Headings crowd around multiples of pi / 2, away from it."""


def encode(boxes: Tensor, anchors: Tensor) -> Tensor:
    """What moves anchors (..., 7) onto boxes (..., 7): seven numbers each."""
    diagonal = anchors[..., 3:5].norm(dim=-1, keepdim=True)
    place = (boxes[..., :2] - anchors[..., :2]) / diagonal
    height = (boxes[..., 2:3] - anchors[..., 2:3]) / anchors[..., 5:6]
    size = (boxes[..., 3:6] / anchors[..., 3:6]).log()
    return torch.cat([place, height, size, boxes[..., 6:] - anchors[..., 6:]], dim=-1)


def decode(codes: Tensor, anchors: Tensor, directions: Tensor) -> Tensor:
    """The boxes (..., 7) that codes (..., 7) make of anchors (..., 7).

    Args:
        codes: as `encode` gives them; sizes are limited to e^4 times the anchor's, so that none overflows.
        anchors: boxes.
        directions: 0 or 1, int64 (...), as `direction` gives them.
    """
    diagonal = anchors[..., 3:5].norm(dim=-1, keepdim=True)
    place = codes[..., :2] * diagonal + anchors[..., :2]
    height = codes[..., 2:3] * anchors[..., 5:6] + anchors[..., 2:3]
    size = codes[..., 3:6].clamp(-4, 4).exp() * anchors[..., 3:6]
    heading = (codes[..., 6] + anchors[..., 6] - CUT) % math.pi + CUT + math.pi * directions
    heading = (heading + math.pi) % (2 * math.pi) - math.pi
    return torch.cat([place, height, size, heading.unsqueeze(-1)], dim=-1)


def direction(headings: Tensor) -> Tensor:
    """Which of the two directions headings have, int64: 0 for [pi/4, 5 pi/4), 1 for the other half turn."""
    # A quotient that rounds up to 2 belongs to the second half turn.
    return ((headings - CUT) % (2 * math.pi) / math.pi).floor().long().clamp(0, 1)
