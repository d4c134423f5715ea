"""Outlines of objects, drawn as one mask for the whole image."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slrprune.errors import MissingExtraError
from slrprune.tasks.coco.annotations import Photo
from slrprune.tasks.coco.placement import UNKNOWN

FARTHEST = 100
"""Polygons with a point farther out than this many times the longer side of the image are not drawn: pycocotools walks
along every edge, inside the image or not, and crashes where that overflows its integers."""


def draw(photo: Photo) -> NDArray[np.uint8] | None:
    """What each pixel shows: 0 is background, k + 1 the category k; pixels that two categories claim are `UNKNOWN`.

    Crowds are drawn like other objects: they are of their category, whatever their number.

    Args:
        photo: with the outlines of all its objects, polygons or run lengths.

    Returns:
        Of the photograph's size, uint8 (height, width); None where an outline cannot be drawn.

    Raises:
        MissingExtraError: pycocotools is not installed.
    """
    width, height = photo.size
    mask = np.zeros((height, width), dtype=np.uint8)
    for shape, label in zip(photo.shapes, photo.labels.tolist(), strict=True):
        area = _area(shape, height, width)
        if area is None:
            return None
        others = area & (mask != 0) & (mask != label + 1)
        mask[area] = label + 1
        mask[others] = UNKNOWN
    return mask


def _area(shape: Any, height: int, width: int) -> NDArray[np.bool_] | None:
    """The pixels inside one outline, by pycocotools."""
    try:
        from pycocotools import mask as codes
    except ImportError as error:
        raise MissingExtraError("Outlines of COCO", "pycocotools", "detection") from error
    polygons = isinstance(shape, list)
    if polygons:
        drawable = bool(shape) and all(_is_polygon(polygon, FARTHEST * max(height, width)) for polygon in shape)
        outline = shape
    else:
        counts = _run_lengths(shape, height, width)
        drawable = counts is not None
        outline = {"size": [height, width], "counts": counts}
    if not drawable:
        return None
    try:
        code = codes.frPyObjects(outline, height, width)
        with warnings.catch_warnings():
            # Built for an older NumPy: pycocotools' own arrays do not know the keyword `copy` yet.
            warnings.simplefilter("ignore", DeprecationWarning)
            area = np.asarray(codes.decode(codes.merge(code) if polygons else code), dtype=np.bool_)
    except (ValueError, TypeError, OverflowError):
        return None
    return area if area.shape == (height, width) else None


def _is_polygon(numbers: Any, farthest: int) -> bool:
    if not isinstance(numbers, list) or len(numbers) < 6 or len(numbers) % 2:
        return False
    # False for what is not finite, too.
    return all(isinstance(number, int | float) and abs(number) <= farthest for number in numbers)


def _run_lengths(shape: Any, height: int, width: int) -> Sequence[int] | None:
    """The run lengths as numbers; None where they are damaged, or do not fill the image exactly."""
    if not isinstance(shape, dict) or shape.get("size") != [height, width]:
        return None
    counts = shape.get("counts")
    if isinstance(counts, str):
        counts = _unpacked(counts)
    if not isinstance(counts, list) or not all(isinstance(count, int) and count >= 0 for count in counts):
        return None
    return counts if sum(counts) == height * width else None


def _unpacked(text: str) -> list[int] | None:
    """Run lengths from COCO's text; None where it is no such text.

    Read here and not by pycocotools, which leaves the pixels behind a text that is too short as they were in memory.
    Each character holds 5 bits, the lowest first, and whether more follow; from the fourth on, a number is the
    difference to the last but one.
    """
    counts: list[int] = []
    number, bits = 0, 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64 or bits > 35:  # no number of pixels is longer
            return None
        number |= (code & 31) << bits
        bits += 5
        if code & 32:
            continue
        if code & 16:
            number -= 1 << bits
        counts.append(number + (counts[-2] if len(counts) > 2 else 0))
        number, bits = 0, 0
    return None if bits else counts
