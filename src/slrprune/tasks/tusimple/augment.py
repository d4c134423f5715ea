"""Random rotations and shifts of an image with its lanes.

Z. Qin, H. Wang, X. Li, "Ultra fast structure-aware deep lane detection", ECCV 2020, section 4.1; the amounts are those
of the authors' code, as fractions of TuSimple's 1280 x 720 pixels.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slrprune.tasks.tusimple.geometry import moved
from slrprune.tasks.tusimple.images import pillow

Array = NDArray[np.float64]

TURN = math.radians(6)
"""Largest rotation either way."""

SHIFT = (200 / 1280, 100 / 720)
"""Largest shift either way, along x and y, as fractions of width and height."""


def augmented(image: Any, lanes: Array, rows: Array, rng: np.random.Generator) -> tuple[Any, Array]:
    """A new image of the same size, black where nothing is known, and its lanes.

    Args:
        image: of Pillow.
        lanes: (n, r).
        rows: (r,).
        rng: all numbers come from here.
    """
    turn = rng.uniform(-TURN, TURN)
    shift = np.array([rng.uniform(-part, part) for part in SHIFT]) * image.size
    cosine, sine = math.cos(turn), math.sin(turn)
    rotation = np.array([[cosine, -sine], [sine, cosine]])
    center = np.array(image.size) / 2
    offset = center - rotation @ center + shift
    matrix = np.column_stack([rotation, offset])
    # Pillow wants to know where each new pixel comes from.
    back = np.column_stack([rotation.T, -rotation.T @ offset])
    module = pillow()
    coefficients = back.reshape(-1).tolist()
    changed = image.transform(image.size, module.Transform.AFFINE, coefficients, module.Resampling.BILINEAR)
    return changed, moved(lanes, rows, matrix, image.size)
