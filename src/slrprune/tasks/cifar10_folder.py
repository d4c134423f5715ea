"""CIFAR-10 as a folder of images: `<class>/*.png`, one folder per class."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slrprune.errors import DataError
from slrprune.tasks.decoding import as_rgb, decoded, pillow

SUFFIXES = (".png", ".bmp", ".jpg", ".jpeg", ".webp")
"""Files taken as images; everything else in the folders is left alone."""


def read_image_folder(folder: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images and labels of one split.

    Labels follow the folders in alphabetical order, which for the class names is the official order. Images follow
    their file names.

    Returns:
        Images uint8 of shape (n, 3072), red plane first; labels int64 of shape (n,).

    Raises:
        DataError: not ten class folders, one of them empty, an image that cannot be read or is not 32x32.
        MissingExtraError: Pillow is not installed.
    """
    if not folder.is_dir():
        raise DataError("read_cifar10", f"{folder} is missing")
    classes = sorted(path for path in folder.iterdir() if path.is_dir())
    if len(classes) != 10:
        raise DataError("read_cifar10", f"{folder} has {len(classes)} class folders, expected 10")
    files = [_images_in(path) for path in classes]
    labels = np.repeat(np.arange(10, dtype=np.int64), [len(names) for names in files])
    return np.stack([_read_image(file) for names in files for file in names]), labels


def _images_in(folder: Path) -> list[Path]:
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES)
    if not files:
        raise DataError("read_cifar10", f"{folder} holds no image", f"Images end in {', '.join(SUFFIXES)}.")
    return files


def _read_image(file: Path) -> NDArray[np.uint8]:
    image = decoded(pillow("Reading an image folder", "vision"), file, as_rgb)
    if image is None:
        raise DataError("read_cifar10", f"{file} cannot be read as an image")
    pixels = np.asarray(image)
    if pixels.shape != (32, 32, 3):
        height, width = pixels.shape[:2]
        raise DataError("read_cifar10", f"{file} is {width}x{height} pixels, expected 32x32")
    planes: NDArray[np.uint8] = pixels.transpose(2, 0, 1).reshape(-1)
    return planes
