"""Every place in the output maps that can hold a box, in one row, and the way from numbers to boxes and back."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from slrprune.tasks.coco.boxes import around, sizes

_LARGEST = 10.0
"""Logarithm of the largest box in anchors: keeps the exponential finite, far beyond any image."""

_EDGE = 1e-6
"""How close to the edge of its cell a center counts as inside, in cells: the logit of 0 is no number."""


class Places(NamedTuple):
    """N places: maps in order, their rows, their columns, their anchors.

    Attributes:
        corners: x and y of the cell's top left corner, pixels, float32 (N, 2).
        strides: side of the cell, pixels, float32 (N, 1).
        anchors: width and height of the anchor, pixels, float32 (N, 2).
    """

    corners: Tensor
    strides: Tensor
    anchors: Tensor

    def at(self, index: Tensor) -> "Places":
        """Some of them."""
        return Places(self.corners[index], self.strides[index], self.anchors[index])


def all_places(size: tuple[int, int], strides: Sequence[int], anchors: Tensor) -> Places:
    """The places of an image.

    Args:
        size: height and width, pixels.
        strides: of each output map.
        anchors: widths and heights, float32 (maps, anchors of each, 2); the places lie on their device.
    """
    device, parts = anchors.device, []
    for stride, own in zip(strides, anchors, strict=True):
        rows, columns = size[0] // stride, size[1] // stride
        # Made where they are used: a copy from the host would wait for the device.
        ys, xs = torch.meshgrid(*(torch.arange(n, device=device) for n in (rows, columns)), indexing="ij")
        corners = (torch.stack([xs, ys], -1) * float(stride)).reshape(-1, 1, 2).expand(-1, len(own), 2).reshape(-1, 2)
        sides = torch.full((len(corners), 1), float(stride), device=device)
        parts.append(Places(corners, sides, own.repeat(rows * columns, 1)))
    return Places(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))


def in_a_row(maps: Sequence[Tensor], count: int) -> Tensor:
    """The maps' numbers by places: (n, count * k, h, w) each gives (n, N, k).

    Args:
        maps: outputs of a network.
        count: of anchors of each map.
    """
    rows = []
    for tensor in maps:
        n, channels, height, width = tensor.shape
        split = tensor.reshape(n, count, channels // count, height, width)
        rows.append(split.permute(0, 3, 4, 1, 2).reshape(n, height * width * count, channels // count))
    return torch.cat(rows, 1)


def decode(numbers: Tensor, places: Places) -> Tensor:
    """Boxes in pixels from the network's four numbers: sigmoids inside the cell, exponentials of the anchor.

    Args:
        numbers: float32 (..., N, 4).
        places: N of them.

    Reference:
        J. Redmon, A. Farhadi, "YOLOv3: an incremental improvement", 2018, section 2.1.
    """
    centers = places.corners + torch.sigmoid(numbers[..., :2]) * places.strides
    return around(centers, places.anchors * torch.exp(numbers[..., 2:4].clamp(max=_LARGEST)))


def encode(boxes: Tensor, places: Places) -> Tensor:
    """The four numbers that `decode` turns into these boxes, whose centers must lie in the places' cells.

    Args:
        boxes: float32 (N, 4), pixels, each with an area.
        places: N of them.
    """
    inside = ((boxes[:, :2] + boxes[:, 2:]) / 2 - places.corners) / places.strides
    return torch.cat([torch.logit(inside, eps=_EDGE), torch.log(sizes(boxes) / places.anchors)], -1)
