"""Images of the road as the networks take them."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slrprune.tasks import decoding

MEAN = (0.485, 0.456, 0.406)
"""Mean of red, green and blue in [0, 1] that ImageNet backbones were trained with."""

STD = (0.229, 0.224, 0.225)
"""Standard deviations that go with `MEAN`."""


def pillow() -> Any:
    """Pillow's module `Image`.

    Raises:
        MissingExtraError: Pillow is not installed.
    """
    return decoding.pillow("Reading images of lanes", "vision")


def open_image(file: Path) -> Any | None:
    """The whole image in RGB; None where it cannot be decoded to its end."""
    return decoding.decoded(pillow(), file, decoding.as_rgb)


def as_input(image: Any, size: tuple[int, int]) -> NDArray[np.float32]:
    """The image scaled to (height, width) and normalized: float32 (3, height, width)."""
    scaled = image.resize((size[1], size[0]), pillow().Resampling.BILINEAR)
    pixels = np.asarray(scaled, dtype=np.float32) / 255
    normalized = (pixels - np.array(MEAN, dtype=np.float32)) / np.array(STD, dtype=np.float32)
    return np.ascontiguousarray(normalized.transpose(2, 0, 1))
