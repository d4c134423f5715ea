"""Random changes of training photographs: flips, scale and shift, color, and four in one.

The mosaic is that of A. Bochkovskiy et al., "YOLOv4", arXiv 2004.10934, section 3.3.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from slrprune.errors import ArgumentError
from slrprune.tasks.coco.images import pillow
from slrprune.tasks.coco.placement import GREY, UNKNOWN, Picture, Placement, Window, letterbox, paint


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How much training photographs are changed.

    Args:
        flip_x: exchange left and right in half of the cases.
        flip_y: exchange top and bottom in half of the cases, for pictures without an up.
        zoom: smallest and largest scale against the whole photograph on the input.
        stretch: largest factor between the scales of x and y, either way, at least 1.
        color: largest change of brightness, contrast and saturation, as a fraction, in [0, 1).
        mosaic: probability that four photographs share the input, in [0, 1].

    Raises:
        ArgumentError: a value out of range.
    """

    flip_x: bool = True
    flip_y: bool = False
    zoom: tuple[float, float] = (0.6, 1.6)
    stretch: float = 1.2
    color: float = 0.3
    mosaic: float = 0.0

    def __post_init__(self) -> None:
        owner = "Augmentation"
        if not 0 < self.zoom[0] <= self.zoom[1]:
            raise ArgumentError(owner, "zoom", self.zoom, "must be two positive scales, the smaller first")
        if not self.stretch >= 1:
            raise ArgumentError(owner, "stretch", self.stretch, "must be at least 1")
        if not 0 <= self.color < 1:
            raise ArgumentError(owner, "color", self.color, "must be in [0, 1)")
        if not 0 <= self.mosaic <= 1:
            raise ArgumentError(owner, "mosaic", self.mosaic, "must be in [0, 1]")

    def wants_mosaic(self, rng: np.random.Generator) -> bool:
        """Whether the next example is made of four."""
        return self.mosaic > 0 and rng.random() < self.mosaic

    def single(self, picture: Picture, size: tuple[int, int], rng: np.random.Generator) -> Picture:
        """One photograph on an input of (height, width), changed."""
        height, width = size
        canvas = pillow().new("RGB", (width, height), GREY)
        flipped = self._flipped(picture, rng)
        placement = self._scaled(letterbox(picture.image.size, size), rng)
        placement = _shifted(placement, picture.image.size, size, rng)
        masks = None if picture.mask is None else pillow().new("L", (width, height), UNKNOWN)
        boxes, labels = paint(canvas, flipped, placement, Window(0, 0, width, height), masks)
        return Picture(self._colored(canvas, rng), boxes, labels, masks)

    def four(self, pictures: Sequence[Picture], size: tuple[int, int], rng: np.random.Generator) -> Picture:
        """Up to four photographs around a point near the middle of the input, each changed; masks are left out."""
        height, width = size
        canvas = pillow().new("RGB", (width, height), GREY)
        across, down = (int(side * rng.uniform(0.35, 0.65)) for side in (width, height))
        windows = (
            Window(0, 0, across, down),
            Window(across, 0, width, down),
            Window(0, down, across, height),
            Window(across, down, width, height),
        )
        parts = []
        for picture, window in zip(pictures, windows, strict=False):
            placement = self._scaled(letterbox(picture.image.size, size), rng)
            corner = _cornered(placement, picture.image.size, window)
            parts.append(paint(canvas, self._flipped(picture, rng), corner, window))
        boxes, labels = (np.concatenate(part) for part in zip(*parts, strict=True))
        return Picture(self._colored(canvas, rng), boxes, labels)

    def _flipped(self, picture: Picture, rng: np.random.Generator) -> Picture:
        image, mask, boxes = picture.image, picture.mask, picture.boxes.copy()
        draws = rng.random(2) < 0.5
        for allowed, drawn, axis, flip in (
            (self.flip_x, draws[0], 0, pillow().Transpose.FLIP_LEFT_RIGHT),
            (self.flip_y, draws[1], 1, pillow().Transpose.FLIP_TOP_BOTTOM),
        ):
            if allowed and drawn:
                image = image.transpose(flip)
                mask = None if mask is None else mask.transpose(flip)
                boxes[:, [axis, axis + 2]] = image.size[axis] - boxes[:, [axis + 2, axis]]
        return Picture(image, boxes, picture.labels, mask)

    def _scaled(self, placement: Placement, rng: np.random.Generator) -> Placement:
        """Both scales drawn evenly on a logarithmic axis."""
        zoom = np.exp(rng.uniform(*np.log(self.zoom)))
        stretch = np.exp(rng.uniform(-1, 1) * np.log(self.stretch) / 2)
        return placement._replace(
            scale_x=float(placement.scale_x * zoom * stretch), scale_y=float(placement.scale_y * zoom / stretch)
        )

    def _colored(self, image: Any, rng: np.random.Generator) -> Any:
        from PIL import ImageEnhance

        factors = 1 + self.color * rng.uniform(-1, 1, 3)
        for change, factor in zip(
            (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color), factors, strict=True
        ):
            image = change(image).enhance(float(factor))
        return image


def _shifted(
    placement: Placement, image_size: tuple[int, int], size: tuple[int, int], rng: np.random.Generator
) -> Placement:
    """Somewhere on the input where as much of it as possible is filled."""
    free_x = size[1] - placement.scale_x * image_size[0]
    free_y = size[0] - placement.scale_y * image_size[1]
    return placement._replace(left=float(free_x * rng.random()), top=float(free_y * rng.random()))


def _cornered(placement: Placement, image_size: tuple[int, int], window: Window) -> Placement:
    """With a corner at the point where the four windows meet."""
    width, height = placement.scale_x * image_size[0], placement.scale_y * image_size[1]
    left = window.right - width if window.left == 0 else window.left
    top = window.bottom - height if window.top == 0 else window.top
    return placement._replace(left=float(left), top=float(top))


AUGMENTATIONS: Mapping[str, Augmentation] = MappingProxyType(
    {
        "none": Augmentation(flip_x=False, zoom=(1.0, 1.0), stretch=1.0, color=0.0),
        "photo": Augmentation(),
        "photo_mosaic": Augmentation(mosaic=0.5),
        "slide": Augmentation(flip_y=True, zoom=(0.75, 1.33)),
        "slide_mosaic": Augmentation(flip_y=True, zoom=(0.75, 1.33), mosaic=0.5),
    }
)
"""By name: photographs of the world have an up, what lies under a microscope has none and one size."""


def augmentation_named(name: str | Augmentation) -> Augmentation:
    """The augmentation of that name; one that has none is returned as it is.

    Raises:
        ArgumentError: an unknown name.
    """
    if isinstance(name, Augmentation):
        return name
    if name not in AUGMENTATIONS:
        raise ArgumentError("Coco", "augment", name, f"must be one of {', '.join(AUGMENTATIONS)}")
    return AUGMENTATIONS[name]
