"""The images of one split as examples: pixels, and what a network should say of them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slrprune.tasks.base import Batch
from slrprune.tasks.complaints import Complaints
from slrprune.tasks.disk_source import DiskSource
from slrprune.tasks.tusimple.augment import augmented
from slrprune.tasks.tusimple.images import as_input, open_image
from slrprune.tasks.tusimple.labels import LaneImage
from slrprune.tasks.tusimple.system import LaneSystem


class Picture(NamedTuple):
    """One example.

    Attributes:
        pixels: float32 (3, height, width).
        target: of the system, int64.
        image: number of the image in the split.
        size: width and height of the image on disk.
    """

    pixels: NDArray[np.float32]
    target: NDArray[np.int64]
    image: int
    size: tuple[int, int]


class Targets(NamedTuple):
    """What the network should find in a batch.

    Attributes:
        wanted: of the system, int64 (n, ...).
        images: numbers of the images in the split, int64 (n,).
        sizes: width and height of the images on disk, int64 (n, 2).
    """

    wanted: Tensor
    images: Tensor
    sizes: Tensor


class TuSimpleSource(DiskSource[Picture]):
    """One split.

    Args:
        images: in order.
        system: gives the input's size and the targets.
        strict: refuse bad input instead of skipping it.
    """

    def __init__(self, images: Sequence[LaneImage], system: LaneSystem, strict: bool) -> None:
        super().__init__("TuSimple", strict)
        self.images = tuple(images)
        self.system = system

    def __len__(self) -> int:
        """Number of images."""
        return len(self.images)

    def load(self, index: int, rng: np.random.Generator | None, complaints: Complaints) -> Picture | None:
        """One image; None where it cannot be decoded, or its labels lie outside."""
        labelled = self.images[index]
        image = open_image(labelled.file)
        if image is None:
            complaints.add("images are truncated or cannot be read", labelled.name)
            return None
        if labelled.lanes.max() >= image.width or labelled.rows.max() >= image.height or labelled.rows.min() < 0:
            complaints.add("images have labels outside of them", labelled.name)
            return None
        lanes, size = labelled.lanes, (image.width, image.height)
        if rng is not None:
            image, lanes = augmented(image, lanes, labelled.rows, rng)
        return Picture(as_input(image, self.system.size), self.system.target(lanes, labelled.rows, size), index, size)

    def collate(self, examples: list[Picture]) -> Batch:
        """Images float32 (n, 3, height, width) and `Targets`."""
        pixels = torch.from_numpy(np.stack([picture.pixels for picture in examples]))
        wanted = torch.from_numpy(np.stack([picture.target for picture in examples]))
        images = torch.tensor([picture.image for picture in examples])
        return pixels, Targets(wanted, images, torch.tensor([picture.size for picture in examples]))
