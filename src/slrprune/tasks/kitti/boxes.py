"""Boxes in the scanner's coordinates, made from labels and turned back into what a detection file holds.

A box is (x, y, z, length, width, height, heading): the center in meters, and the angle in radians from the x axis to
the length, counter-clockwise seen from above. KITTI's labels give the center of the bottom face in the camera's
coordinates and the angle around the axis that points down, so heading = -rotation - pi/2.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from slrprune.tasks.kitti.calibration import Calibration
from slrprune.tasks.kitti.labels import Label

Array = NDArray[np.float64]


def wrapped(angle: Array) -> Array:
    """Angles in [-pi, pi)."""
    return (angle + math.pi) % (2 * math.pi) - math.pi


def boxes_from_labels(labels: Sequence[Label], calibration: Calibration) -> Array:
    """Boxes float64 (n, 7) of labels that have a size."""
    if not labels:
        return np.zeros((0, 7))
    bottoms = calibration.scanner(np.array([label.location for label in labels]))
    height, width, length = np.array([label.size for label in labels]).T
    heading = wrapped(-np.array([label.rotation for label in labels]) - math.pi / 2)
    x, y, z = bottoms.T
    return np.stack([x, y, z + height / 2, length, width, height, heading], axis=1)


def camera_boxes(boxes: Array, calibration: Calibration) -> Array:
    """Boxes (n, 7) as KITTI writes them: (n, 7) with location, (height, width, length) and rotation."""
    bottoms = boxes[:, :3].copy()
    bottoms[:, 2] -= boxes[:, 5] / 2
    rotation = wrapped(-boxes[:, 6] - math.pi / 2)
    return np.column_stack([calibration.camera(bottoms), boxes[:, 5], boxes[:, 4], boxes[:, 3], rotation])


def corners(boxes: Array) -> Array:
    """The eight corners (n, 8, 3) of boxes (n, 7)."""
    signs = np.array([(a, b, c) for a in (-0.5, 0.5) for b in (-0.5, 0.5) for c in (-0.5, 0.5)])
    x, y, z = np.moveaxis(signs[None] * boxes[:, None, 3:6], 2, 0)
    cosine, sine = np.cos(boxes[:, 6:7]), np.sin(boxes[:, 6:7])
    return np.stack([x * cosine - y * sine, x * sine + y * cosine, z], axis=2) + boxes[:, None, :3]


def image_boxes(boxes: Array, calibration: Calibration, image_size: tuple[int, int]) -> tuple[Array, NDArray[np.bool_]]:
    """What boxes cover in the image: left, top, right, bottom (n, 4), and which are seen at all (n,).

    Corners behind the camera are left out of the hull, which is clipped to the image.
    """
    pixels, depth = calibration.pixels(calibration.camera(corners(boxes).reshape(-1, 3)))
    in_front = (depth > 0.1).reshape(-1, 8, 1)
    pixels = pixels.reshape(-1, 8, 2)
    last = np.array(image_size, dtype=np.float64) - 1
    low = np.where(in_front, pixels, np.inf).min(axis=1).clip(0, last)
    high = np.where(in_front, pixels, -np.inf).max(axis=1).clip(0, last)
    return np.concatenate([low, high], axis=1), (high > low).all(axis=1)
