"""Outlines of objects, drawn as one mask for the whole image."""

import math
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slrprune.errors import MissingExtraError
from slrprune.tasks.coco.annotations import Photo
from slrprune.tasks.coco.placement import UNKNOWN


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
    if isinstance(shape, list) and all(_is_polygon(polygon) for polygon in shape):
        code = codes.merge(codes.frPyObjects(shape, height, width))
    elif isinstance(shape, dict) and _is_run_lengths(shape, height, width):
        listed = isinstance(shape["counts"], list)
        code = codes.frPyObjects(shape, height, width) if listed else shape
    else:
        return None
    with warnings.catch_warnings():
        # Built for an older NumPy: pycocotools' own arrays do not know the keyword `copy` yet.
        warnings.simplefilter("ignore", DeprecationWarning)
        return np.asarray(codes.decode(code), dtype=np.bool_)


def _is_polygon(numbers: Any) -> bool:
    if not isinstance(numbers, list) or len(numbers) < 6 or len(numbers) % 2:
        return False
    return all(isinstance(number, int | float) and math.isfinite(number) for number in numbers)


def _is_run_lengths(shape: dict[str, Any], height: int, width: int) -> bool:
    counts = shape.get("counts")
    if shape.get("size") != [height, width]:
        return False
    if isinstance(counts, str):
        return bool(counts)
    return (
        isinstance(counts, list)
        and all(isinstance(count, int) and count >= 0 for count in counts)
        and sum(counts) == height * width
    )
