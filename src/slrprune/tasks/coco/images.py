"""Reading photographs."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slrprune.tasks import decoding


def pillow() -> Any:
    """Pillow's module `Image`.

    Raises:
        MissingExtraError: Pillow is not installed.
    """
    return decoding.pillow("Reading photographs", "detection")


def open_image(file: Path) -> Any | None:
    """The whole image in RGB, as it is stored; None where it cannot be decoded to its end.

    Of 16 bits the upper 8 are taken. An orientation in EXIF is not applied: boxes are taken to be in the stored pixels.
    """
    return decoding.decoded(pillow(), file, _as_rgb)


def as_input(image: Any) -> NDArray[np.float32]:
    """The pixels in [0, 1], float32 (3, height, width)."""
    return np.ascontiguousarray(np.asarray(image, dtype=np.float32).transpose(2, 0, 1) / 255)


def _as_rgb(image: Any) -> Any:
    if image.mode.startswith("I;16"):  # Pillow would show all above 255 as white
        grey = np.asarray(image).astype(np.uint16) >> 8
        image = pillow().fromarray(grey.astype(np.uint8))
    return decoding.as_rgb(image)
