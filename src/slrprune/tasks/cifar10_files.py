"""CIFAR-10 from disk, in the three formats in which it is usually kept.

Krizhevsky: Learning multiple layers of features from tiny images, 2009. The binary version
(`cifar-10-batches-bin`), the python version (`cifar-10-batches-py`) and a folder of images
(`train/<class>/*.png`, `test/<class>/*.png`) give the same arrays; the format is told from the files that are there.
"""

from collections.abc import Callable
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from slrprune.errors import ArgumentError, DataError
from slrprune.tasks.cifar10_folder import read_image_folder
from slrprune.tasks.cifar10_pickle import read_pickle
from slrprune.tasks.data_folder import data_folder
from slrprune.tasks.tensor_task import Labelled

CLASSES = 10
PIXELS = 3 * 32 * 32
BATCHES = {"train": [f"data_batch_{part}" for part in range(1, 6)], "test": ["test_batch"]}
"""Names of the batch files of the binary and the python version, without suffix, in order."""

_SUBFOLDERS = ("", "cifar-10-batches-bin", "cifar-10-batches-py")

_Arrays = tuple[NDArray[np.uint8], NDArray[np.int64]]


def read_cifar10(data: str | PathLike[str] | None, split: str, *, per_file: int = 10_000) -> Labelled:
    """Images and labels of CIFAR-10, in the order of the files.

    Args:
        data: the folder of any of the formats, or the folder around it, or one more around a `cifar10` folder; None
            takes the environment variable SLRPRUNE_DATA.
        split: "train" (50,000 images) or "test" (10,000).
        per_file: images in each batch file; smaller only in reduced copies. Image folders may hold any number.

    Returns:
        Images uint8 of shape (n, 3, 32, 32), RGB; labels int64 of shape (n,) in [0, 10).

    Raises:
        ArgumentError: another split.
        DataError: no such folder, none of the formats in it, a file missing, truncated or damaged, a label out of
            range; names the file.
        MissingExtraError: an image folder without Pillow.
    """
    if split not in BATCHES:
        raise ArgumentError("read_cifar10", "split", split, "must be 'train' or 'test'")
    read, files = _locate(data_folder("read_cifar10", data), split)
    parts = [read(file) for file in files]
    for file, (images, labels) in zip(files, parts, strict=True):
        _check(file, images, labels, None if read is read_image_folder else per_file)
    images = np.concatenate([images for images, _ in parts]).reshape(-1, 3, 32, 32)
    return Labelled(torch.from_numpy(images), torch.from_numpy(np.concatenate([labels for _, labels in parts])))


def _locate(data: Path, split: str) -> tuple[Callable[[Path], _Arrays], list[Path]]:
    """The reader of the format found in or under `data`, and what it has to read for `split`."""
    every_batch = BATCHES["train"] + BATCHES["test"]
    for folder in (parent / name for parent in (data, data / "cifar10") for name in _SUBFOLDERS):
        if any((folder / f"{name}.bin").exists() for name in every_batch):
            return _read_binary, [folder / f"{name}.bin" for name in BATCHES[split]]
        if any((folder / name).exists() for name in every_batch):
            return read_pickle, [folder / name for name in BATCHES[split]]
        if (folder / "train").is_dir() or (folder / "test").is_dir():
            return read_image_folder, [folder / split]
    looked_for = "data_batch_1.bin (binary version), data_batch_1 (python version), train/ (image folder)"
    raise DataError("read_cifar10", f"there is no CIFAR-10 in {data}, looked for {looked_for}")


def _read_binary(file: Path) -> _Arrays:
    """Records of one label byte and 3,072 bytes of pixels, red plane first."""
    if not file.is_file():
        raise DataError("read_cifar10", f"{file} is missing")
    content = np.fromfile(file, np.uint8)
    if content.size % (1 + PIXELS):
        problem = f"{file} has {content.size:,} bytes, not a whole number of records of {1 + PIXELS:,} bytes"
        raise DataError("read_cifar10", problem, "It is truncated, or another file.")
    records = content.reshape(-1, 1 + PIXELS)
    return records[:, 1:], records[:, 0].astype(np.int64)


def _check(file: Path, images: NDArray[np.uint8], labels: NDArray[np.int64], count: int | None) -> None:
    if len(images) != len(labels):
        raise DataError("read_cifar10", f"{file} holds {len(images):,} images but {len(labels):,} labels")
    if count is not None and len(images) != count:
        problem = f"{file} holds {len(images):,} images, expected {count:,}"
        raise DataError("read_cifar10", problem, "It is truncated, or another file.")
    wrong = (labels < 0) | (labels >= CLASSES)
    if wrong.any():
        first = int(wrong.argmax())
        problem = f"{file} has label {labels[first]} at image {first}, expected 0 to {CLASSES - 1}"
        raise DataError("read_cifar10", problem)
