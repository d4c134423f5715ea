"""The objects of a batch in one row."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from slrprune.tasks.coco.system import Objects


class Gathered(NamedTuple):
    """All k labelled objects of a batch, image by image.

    Attributes:
        boxes: as in `Objects`, float32 (k, 4).
        labels: int64 (k,).
        images: number of each object's image in the batch, int64 (k,).
    """

    boxes: Tensor
    labels: Tensor
    images: Tensor


def gathered(objects: Sequence[Objects]) -> Gathered:
    """The objects of at least one image, on their device; numbers are written there, not copied to it."""
    images = [torch.full_like(seen.labels, number) for number, seen in enumerate(objects)]
    boxes, labels = (torch.cat(parts) for parts in zip(*objects, strict=True))
    return Gathered(boxes, labels, torch.cat(images))
