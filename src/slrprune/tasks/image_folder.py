"""Images in the usual layout of ImageNet: `train/<class>/*.JPEG` and `val/<class>/*.JPEG`."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slrprune.errors import DataError
from slrprune.tasks.base import Batch
from slrprune.tasks.complaints import Complaints
from slrprune.tasks.disk_source import DiskSource
from slrprune.tasks.image_transforms import Transform, opened, transformed

SUFFIXES = (".jpeg", ".jpg", ".png", ".webp", ".bmp", ".ppm", ".tif", ".tiff")
"""Files taken as images; everything else in the folders is left alone."""

_OWNER = "ImageNet"


class ImageFolder(DiskSource[tuple[Tensor, int]]):
    """One split: images by path, each with the number of its class.

    Args:
        root: folder that the paths start from.
        files: paths of images, as bytes (`os.fsencode`), of shape (n,).
        labels: int64 of shape (n,).
        train: transform of training images.
        evaluation: transform of all others.
        strict: refuse bad images instead of skipping them.
    """

    def __init__(
        self,
        root: Path,
        files: NDArray[np.bytes_],
        labels: NDArray[np.int64],
        *,
        train: Transform,
        evaluation: Transform,
        strict: bool,
    ) -> None:
        super().__init__(_OWNER, strict)
        self.root, self.files, self.labels = root, files, labels
        self._train, self._evaluation = train, evaluation

    def __len__(self) -> int:
        return len(self.files)

    def load(self, index: int, rng: np.random.Generator | None, complaints: Complaints) -> tuple[Tensor, int] | None:
        """The transformed image and its class."""
        stored = bytes(self.files[index])
        name = stored.decode("utf-8", "replace")  # as it can be shown: names need not be UTF-8
        image = opened(self.root / os.fsdecode(stored), name, complaints)
        if image is None:
            return None
        return transformed(image, self._evaluation if rng is None else self._train, rng), int(self.labels[index])

    def collate(self, examples: Sequence[tuple[Tensor, int]]) -> Batch:
        """Images float32 of shape (n, 3, size, size) and classes int64 of shape (n,)."""
        images, labels = zip(*examples, strict=True)
        return torch.stack(images), torch.tensor(labels)

    def where(self, chosen: NDArray[np.bool_]) -> "ImageFolder":
        """The images marked in a bool array of shape (n,)."""
        options = {"train": self._train, "evaluation": self._evaluation, "strict": self.strict}
        return ImageFolder(self.root, self.files[chosen], self.labels[chosen], **options)  # type: ignore[arg-type]


class Listing(NamedTuple):
    """What a data folder holds; nothing has been decoded.

    Attributes:
        root: the folder.
        classes: names of the classes, in alphabetical order.
        train: paths of the training images from `root`, and the class of each.
        test: the same for the folder `val`.
    """

    root: Path
    classes: list[str]
    train: tuple[list[str], list[int]]
    test: tuple[list[str], list[int]]


def list_folder(root: Path) -> Listing:
    """Looks through `root/train` and `root/val`. Raises as `list_images`."""
    classes, files, labels = list_images(root, "train", None)
    _, test_files, test_labels = list_images(root, "val", classes)
    return Listing(root, classes, (files, labels), (test_files, test_labels))


def list_images(root: Path, split: str, classes: Sequence[str] | None) -> tuple[list[str], list[str], list[int]]:
    """The images of `root/split`.

    Args:
        root: the data folder.
        split: name of the folder, "train" or "val".
        classes: names of the class folders that must be there; None takes those that are.

    Returns:
        Names of the classes in alphabetical order; paths of the images from `root`, class by class, in the order of
        their names; the class of each.

    Raises:
        DataError: a folder is missing, has no class folders or other ones than `classes`, or a class has no images.
    """
    folder = root / split
    if not folder.is_dir():
        raise DataError(_OWNER, f"the folder {folder} is missing", "The layout is train/<class>/* and val/<class>/*.")
    found = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
    if not found:
        problem = f"{folder} holds no class folders"
        raise DataError(_OWNER, problem, "Sort its images into one folder for each class, named as in train.")
    if classes is not None and found != list(classes):
        odd = next(iter(sorted(set(classes) ^ set(found))))
        where = "is missing" if odd in classes else "is none of the class folders of train"
        raise DataError(_OWNER, f"the folder {folder / odd} {where}")
    files: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(found):
        here = sorted(entry.name for entry in (folder / name).iterdir() if entry.suffix.lower() in SUFFIXES)
        if not here:
            raise DataError(_OWNER, f"{folder / name} holds no image", f"Images end in {', '.join(SUFFIXES)}.")
        files += [f"{split}/{name}/{file}" for file in here]
        labels += [label] * len(here)
    return found, files, labels
