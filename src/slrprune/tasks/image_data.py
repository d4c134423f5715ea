"""Where the ImageNet task takes its images from, under one interface."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np
import torch

from slrprune.errors import ArgumentError, UsageError
from slrprune.tasks.base import Batch, Split
from slrprune.tasks.disk_source import ordered_batches, training_batches
from slrprune.tasks.image_folder import ImageFolder, Listing
from slrprune.tasks.image_transforms import Transform
from slrprune.tasks.split import stratified_holdout
from slrprune.tasks.tally import Tally

SPLIT_SEED = 0
"""Seed of the validation split: one split for everyone, whatever the seed of a run."""


class Images(ABC):
    """Labelled images of several splits.

    Attributes:
        classes: number of classes.
        count: number of training images.
    """

    classes: int
    count: int

    @abstractmethod
    def training(self, size: int, epoch: int, seed: int, device: torch.device, tally: Tally) -> Iterator[Batch]:
        """One shuffled and augmented pass in full batches of `size`; `tally` hears of what was skipped."""

    @abstractmethod
    def in_order(self, split: Split, size: int, device: torch.device, tally: Tally) -> Iterator[Batch]:
        """One pass over a split, nothing augmented, without the images that cannot be read.

        Raises:
            UsageError: there is no such split.
        """


class FolderImages(Images):
    """Images in `train/<class>` and `val/<class>`; the latter are the "test" split, as everywhere in the literature.

    Args:
        listing: what the folder holds, see `list_folder`.
        train: transform of training images.
        evaluation: transform of all others.
        holdout: training images held out for "val", in [0, number of them); 0 for no such split.
        workers: processes that load ahead; 0 loads in this one.
        strict: decode every image once, now, and refuse the first bad one; otherwise bad ones are skipped when met.

    Raises:
        ArgumentError: a holdout out of range.
        DataError: with `strict` an image that cannot be read.
    """

    def __init__(
        self, listing: Listing, *, train: Transform, evaluation: Transform, holdout: int, workers: int, strict: bool
    ) -> None:
        self.workers = workers

        def source(files: list[str], labels: list[int]) -> ImageFolder:
            paths = np.array([os.fsencode(file) for file in files])
            options = {"train": train, "evaluation": evaluation, "strict": strict}
            return ImageFolder(listing.root, paths, np.array(labels, np.int64), **options)  # type: ignore[arg-type]

        everything = source(*listing.train)
        if not 0 <= holdout < len(everything):
            raise ArgumentError("ImageNet", "holdout", holdout, f"must be in [0, {len(everything):,})")
        self._sources: dict[Split, ImageFolder] = {"train": everything, "test": source(*listing.test)}
        if holdout:
            held_out = stratified_holdout(torch.from_numpy(everything.labels), holdout, SPLIT_SEED).numpy()
            self._sources |= {"train": everything.where(~held_out), "val": everything.where(held_out)}
        self.classes, self.count = len(listing.classes), len(self._sources["train"])
        if strict:
            for found in self._sources.values():
                found.check()

    def training(self, size: int, epoch: int, seed: int, device: torch.device, tally: Tally) -> Iterator[Batch]:
        """One pass, the same whatever the number of workers."""
        options = {"epoch": epoch, "seed": seed, "workers": self.workers}
        return training_batches(self._sources["train"], size=size, **options, device=device, tally=tally)

    def in_order(self, split: Split, size: int, device: torch.device, tally: Tally) -> Iterator[Batch]:
        """One pass in the order of the paths."""
        if split not in self._sources:
            raise UsageError("imagenet", f"there is no {split!r} split", "Hold some training images out for it.")
        return ordered_batches(self._sources[split], size=size, workers=self.workers, device=device, tally=tally)
