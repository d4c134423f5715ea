"""The photographs of one split as examples: pixels, and the objects in them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slrprune.tasks.base import Batch
from slrprune.tasks.coco.annotations import Photo
from slrprune.tasks.coco.augment import Augmentation
from slrprune.tasks.coco.images import as_input, open_image
from slrprune.tasks.coco.placement import Picture, letterboxed
from slrprune.tasks.coco.system import Objects
from slrprune.tasks.complaints import Complaints
from slrprune.tasks.disk_source import DiskSource


class Example(NamedTuple):
    """One example.

    Attributes:
        pixels: float32 (3, height, width).
        boxes: float32 (n, 4).
        labels: int64 (n,).
        photo: its number in the split.
    """

    pixels: NDArray[np.float32]
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    photo: int


class Targets(NamedTuple):
    """What is in a batch.

    Attributes:
        boxes: left, top, right, bottom in pixels of the input, float32 (n, g, 4); examples with fewer than g objects
            are filled up with zeros at the end.
        labels: places of the categories, int64 (n, g), -1 where the row was filled up.
        photos: numbers of the images in the split, int64 (n,).
    """

    boxes: Tensor
    labels: Tensor
    photos: Tensor

    def objects(self) -> list[Objects]:
        """Those of each image, without what was filled up."""
        # Read from the device once for the whole batch; a mask for each image would wait for it every time.
        counts = (self.labels >= 0).sum(1).tolist()
        return [
            Objects(boxes[:count], labels[:count])
            for boxes, labels, count in zip(self.boxes, self.labels, counts, strict=True)
        ]


class CocoSource(DiskSource[Example]):
    """One split.

    Args:
        photos: in order.
        size: height and width of the network's input.
        augmentation: of training examples.
        strict: refuse bad input instead of skipping it.
    """

    def __init__(
        self, photos: Sequence[Photo], size: tuple[int, int], augmentation: Augmentation, strict: bool
    ) -> None:
        super().__init__("Coco", strict)
        self.photos = tuple(photos)
        self.size = size
        self.augmentation = augmentation

    def __len__(self) -> int:
        """Number of images."""
        return len(self.photos)

    def load(self, index: int, rng: np.random.Generator | None, complaints: Complaints) -> Example | None:
        """One image; None where it cannot be decoded, or is not the one that was annotated."""
        picture = self._picture(index, complaints)
        if picture is None:
            return None
        if rng is None:
            placed = letterboxed(picture, self.size)
        elif self.augmentation.wants_mosaic(rng):
            others = [self._picture(int(other), complaints) for other in rng.integers(len(self), size=3)]
            pictures = [picture, *(other for other in others if other is not None)]
            placed = self.augmentation.four(pictures, self.size, rng)
        else:
            placed = self.augmentation.single(picture, self.size, rng)
        return Example(as_input(placed.image), placed.boxes.astype(np.float32), placed.labels, index)

    def collate(self, examples: list[Example]) -> Batch:
        """Images float32 (n, 3, height, width) and `Targets`."""
        most = max(len(example.boxes) for example in examples)
        boxes = np.zeros((len(examples), most, 4), dtype=np.float32)
        labels = np.full((len(examples), most), -1, dtype=np.int64)
        for row, example in enumerate(examples):
            boxes[row, : len(example.boxes)] = example.boxes
            labels[row, : len(example.labels)] = example.labels
        pixels = torch.from_numpy(np.stack([example.pixels for example in examples]))
        photos = torch.tensor([example.photo for example in examples])
        return pixels, Targets(torch.from_numpy(boxes), torch.from_numpy(labels), photos)

    def _picture(self, index: int, complaints: Complaints) -> Picture | None:
        """The photograph as it is on disk, with the objects to be found."""
        photo = self.photos[index]
        image = open_photo(photo, complaints)
        if image is None:
            return None
        single = ~photo.crowd
        return Picture(image, photo.boxes[single], photo.labels[single])


def open_photo(photo: Photo, complaints: Complaints) -> Any | None:
    """The image of Pillow; None where it cannot be decoded, or is not the one that was annotated."""
    image = open_image(photo.file)
    if image is None:
        complaints.add("images are truncated or cannot be read", photo.name)
        return None
    if image.size != photo.size:
        complaints.add("images have another size than their annotations say", photo.name)
        return None
    return image
