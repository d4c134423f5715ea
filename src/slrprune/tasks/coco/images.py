"""Reading photographs."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slrprune.errors import MissingExtraError


def pillow() -> Any:
    """Pillow's module `Image`.

    Raises:
        MissingExtraError: Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtraError("Reading photographs", "Pillow", "detection") from error
    return Image


def open_image(file: Path) -> Any | None:
    """The whole image in RGB, as it is stored; None where it cannot be decoded to its end.

    Of 16 bits the upper 8 are taken. An orientation in EXIF is not applied: boxes are taken to be in the stored pixels.
    """
    image_module = pillow()
    try:
        with image_module.open(file) as image:
            if image.mode.startswith("I;16"):  # Pillow would show all above 255 as white
                grey = np.asarray(image).astype(np.uint16) >> 8
                return image_module.fromarray(grey.astype(np.uint8)).convert("RGB")
            return image.convert("RGB")
    # Whatever its decoders raise for damaged files: RuntimeError and NotImplementedError (AVIF, DDS) are among it.
    except Exception:
        return None


def as_input(image: Any) -> NDArray[np.float32]:
    """The pixels in [0, 1], float32 (3, height, width)."""
    return np.ascontiguousarray(np.asarray(image, dtype=np.float32).transpose(2, 0, 1) / 255)
