"""Where a photograph lies on the network's input, for its pixels and for its boxes."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slrprune.tasks.coco.images import pillow

Array = NDArray[np.float64]

GREY = (114, 114, 114)
"""What lies around a photograph: about the mean color of photographs, as in the usual implementations of YOLO."""

UNKNOWN = 255
"""What the mask says there, and where nobody knows what a pixel shows."""

LEAST_SIDE = 2.0
"""Objects narrower or lower than this on the input are left out, pixels."""

LEAST_PART = 0.25
"""Objects of which less than this part of the area is still visible are left out."""


class Picture(NamedTuple):
    """An image in memory, and the objects in it.

    Attributes:
        image: of Pillow, RGB.
        boxes: left, top, right, bottom in its pixels, float64 (n, 4).
        labels: int64 (n,).
        mask: of Pillow, mode "L" and of the image's size: what each pixel shows; None where only boxes are wanted.
    """

    image: Any
    boxes: Array
    labels: NDArray[np.int64]
    mask: Any = None


class Placement(NamedTuple):
    """The map from a photograph to the input: x becomes `left + scale_x * x`, likewise y.

    Attributes:
        scale_x: positive.
        scale_y: positive.
        left: of the photograph's left edge, pixels of the input; may lie outside.
        top: of its top edge.
    """

    scale_x: float
    scale_y: float
    left: float
    top: float

    def forth(self, boxes: Array) -> Array:
        """Boxes (n, 4) of the photograph as boxes on the input."""
        return boxes * self._scales() + self._shifts()

    def back(self, boxes: Array) -> Array:
        """The inverse of `forth`."""
        return (boxes - self._shifts()) / self._scales()

    def _scales(self) -> Array:
        return np.array([self.scale_x, self.scale_y, self.scale_x, self.scale_y])

    def _shifts(self) -> Array:
        return np.array([self.left, self.top, self.left, self.top])


class Window(NamedTuple):
    """A rectangle of the input, in whole pixels; right and bottom are the first that do not belong to it."""

    left: int
    top: int
    right: int
    bottom: int


def letterbox(image_size: tuple[int, int], size: tuple[int, int]) -> Placement:
    """The largest placement in the middle of the input that shows the whole photograph in its own shape.

    Args:
        image_size: width and height of the photograph.
        size: height and width of the input.

    Examples:
        >>> letterbox((640, 480), (320, 320))
        Placement(scale_x=0.5, scale_y=0.5, left=0.0, top=40.0)
    """
    scale = min(size[1] / image_size[0], size[0] / image_size[1])
    width = max(1, round(image_size[0] * scale))
    height = max(1, round(image_size[1] * scale))
    left, top = (size[1] - width) // 2, (size[0] - height) // 2
    return Placement(width / image_size[0], height / image_size[1], float(left), float(top))


def paint(
    canvas: Any, picture: Picture, placement: Placement, window: Window, masks: Any = None
) -> tuple[Array, NDArray[np.int64]]:
    """Draws a picture into one window of a canvas.

    Args:
        canvas: image of Pillow, drawn on in place.
        picture: what is drawn.
        placement: where it would lie as a whole.
        window: where it may be seen, inside the canvas.
        masks: canvas for the picture's mask, if it has one.

    Returns:
        The boxes on the canvas that are still to be seen, cut at the window, float64 (m, 4), and their labels.
    """
    width, height = picture.image.size
    # Rounded, since a scale times a width may be a hair more than the whole number that it was made for.
    whole = np.round(placement.forth(np.array([[0.0, 0.0, width, height]]))[0], 6)
    left, top = (max(int(np.floor(whole[side])), window[side]) for side in (0, 1))
    right, bottom = (min(int(np.ceil(whole[side])), window[side]) for side in (2, 3))
    if right <= left or bottom <= top:
        return np.zeros((0, 4)), np.zeros(0, dtype=np.int64)
    source = placement.back(np.array([[left, top, right, bottom]], dtype=np.float64))[0]
    source = np.clip(source, 0, [width, height, width, height])
    size, part, resampling = (right - left, bottom - top), tuple(source.tolist()), pillow().Resampling
    canvas.paste(picture.image.resize(size, resampling.BILINEAR, part), (left, top))
    if masks is not None:
        masks.paste(picture.mask.resize(size, resampling.NEAREST, part), (left, top))
    moved = placement.forth(picture.boxes)
    return _visible(moved, picture.labels, np.array([left, top, right, bottom], dtype=np.float64))


def letterboxed(picture: Picture, size: tuple[int, int]) -> Picture:
    """The whole picture in the middle of an input of (height, width), as evaluation wants it."""
    height, width = size
    canvas = pillow().new("RGB", (width, height), GREY)
    masks = None if picture.mask is None else pillow().new("L", (width, height), UNKNOWN)
    placement = letterbox(picture.image.size, size)
    boxes, labels = paint(canvas, picture, placement, Window(0, 0, width, height), masks)
    return Picture(canvas, boxes, labels, masks)


def _visible(boxes: Array, labels: NDArray[np.int64], window: Array) -> tuple[Array, NDArray[np.int64]]:
    cut = np.clip(boxes, window[[0, 1, 0, 1]], window[[2, 3, 2, 3]])
    before, after = boxes[:, 2:] - boxes[:, :2], cut[:, 2:] - cut[:, :2]
    kept = (after.min(axis=1, initial=np.inf) >= LEAST_SIDE) & (after.prod(axis=1) >= LEAST_PART * before.prod(axis=1))
    return cut[kept], labels[kept]
