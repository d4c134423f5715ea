"""From FastestDet's numbers to boxes."""

import torch
from torch import Tensor

from slrprune.tasks.coco.boxes import around

STRIDE = 16
"""Pixels from one cell to the next."""


def cells(size: tuple[int, int], device: torch.device) -> Tensor:
    """Column and row of every cell, row by row, float32 (cells, 2).

    Args:
        size: height and width of the image, pixels.
        device: where they lie.
    """
    ys, xs = torch.meshgrid(*(torch.arange(side // STRIDE, device=device) for side in size), indexing="ij")
    return torch.stack([xs, ys], -1).reshape(-1, 2).float()


def decode(numbers: Tensor, at: Tensor, size: tuple[int, int]) -> Tensor:
    """Boxes in pixels: the center is up to one cell from the cell's corner, the size a part of the image.

    Args:
        numbers: four of each box, float32 (..., k, 4).
        at: column and row of its cell, float32 (k, 2).
        size: height and width of the image, pixels.
    """
    centers = (at + torch.tanh(numbers[..., :2])) * STRIDE
    width, height = torch.sigmoid(numbers[..., 2:4]).unbind(-1)
    return around(centers, torch.stack([width * size[1], height * size[0]], -1))
