"""Random crops and flips of a batch of images, drawn per image and computed on the images' device."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from slrprune.errors import ArgumentError


@dataclass(frozen=True)
class CropFlip:
    """Moves every image by up to `padding` pixels, zeros coming in at the border, and mirrors every second one.

    The usual augmentation of CIFAR: pad all sides, crop to the old size at a random place, flip with probability 1/2.
    Drawing and applying are separate, so that an epoch's numbers are drawn and sent to the device once.

    Args:
        padding: pixels, at least 0.
        flip: whether to mirror left and right.

    Raises:
        ArgumentError: negative padding.
    """

    padding: int = 4
    flip: bool = True

    def __post_init__(self) -> None:
        if self.padding < 0:
            raise ArgumentError("CropFlip", "padding", self.padding, "must be at least 0")

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Random numbers for `count` images.

        Returns:
            int64 of shape (count, 3) on the CPU: row and column of the crop in the padded image, both in
            [0, 2 * padding], and 1 for a mirrored image, else 0.
        """
        corner = torch.randint(2 * self.padding + 1, (count, 2), generator=generator)
        mirrored = torch.randint(2 if self.flip else 1, (count, 1), generator=generator)
        return torch.cat([corner, mirrored], dim=1)

    def apply(self, images: Tensor, draws: Tensor) -> Tensor:
        """The augmented images: a new contiguous tensor of the same shape and dtype.

        Args:
            images: any dtype, shape (n, c, h, w); what comes in at the border is 0.
            draws: shape (n, 3) from `draw`, on the same device.
        """
        height, width = images.shape[-2:]
        top, left, mirrored = draws.unsqueeze(2).unbind(1)
        rows = top + torch.arange(height, device=images.device)
        columns = torch.arange(width, device=images.device)
        columns = left + torch.where(mirrored.bool(), width - 1 - columns, columns)
        # One gather over the flattened padded images; it needs no copy per image and no wait for the device.
        pixels = rows.unsqueeze(2) * (width + 2 * self.padding) + columns.unsqueeze(1)
        padded = F.pad(images, [self.padding] * 4).flatten(2)
        return padded.gather(2, pixels.flatten(1).unsqueeze(1).expand(-1, images.shape[1], -1)).view(images.shape)
