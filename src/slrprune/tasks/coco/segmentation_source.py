"""The photographs of one split as examples for segmentation: pixels, and what each of them shows."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from slrprune.tasks.base import Batch
from slrprune.tasks.coco.annotations import Photo
from slrprune.tasks.coco.augment import Augmentation
from slrprune.tasks.coco.images import as_input, pillow
from slrprune.tasks.coco.outlines import draw
from slrprune.tasks.coco.placement import Picture, letterboxed
from slrprune.tasks.coco.source import open_photo
from slrprune.tasks.complaints import Complaints
from slrprune.tasks.disk_source import DiskSource


class Scene(NamedTuple):
    """One example.

    Attributes:
        pixels: float32 (3, height, width).
        labels: 0 for background, k + 1 for category k, `placement.UNKNOWN` elsewhere, int64 (height, width).
    """

    pixels: NDArray[np.float32]
    labels: NDArray[np.int64]


class SegmentationSource(DiskSource[Scene]):
    """One split.

    Args:
        photos: in order, with outlines.
        size: height and width of the network's input.
        augmentation: of training examples, without a mosaic.
        strict: refuse bad input instead of skipping it.
    """

    def __init__(
        self, photos: Sequence[Photo], size: tuple[int, int], augmentation: Augmentation, strict: bool
    ) -> None:
        super().__init__("CocoSegmentation", strict)
        self.photos = tuple(photos)
        self.size = size
        self.augmentation = augmentation

    def __len__(self) -> int:
        """Number of images."""
        return len(self.photos)

    def load(self, index: int, rng: np.random.Generator | None, complaints: Complaints) -> Scene | None:
        """One image; None where it cannot be decoded, or its outlines cannot be drawn."""
        photo = self.photos[index]
        image = open_photo(photo, complaints)
        if image is None:
            return None
        mask = draw(photo)
        if mask is None:
            complaints.add("images have an outline that cannot be drawn", photo.name)
            return None
        picture = Picture(image, photo.boxes, photo.labels, pillow().fromarray(mask))
        placed = letterboxed(picture, self.size) if rng is None else self.augmentation.single(picture, self.size, rng)
        return Scene(as_input(placed.image), np.asarray(placed.mask, dtype=np.int64))

    def collate(self, examples: list[Scene]) -> Batch:
        """Images float32 (n, 3, height, width) and labels int64 (n, height, width)."""
        pixels, labels = (np.stack(part) for part in zip(*examples, strict=True))
        return torch.from_numpy(pixels), torch.from_numpy(labels)
