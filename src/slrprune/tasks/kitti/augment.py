"""Random changes of a whole scan with its boxes.

Lang et al., CVPR 2019, section 3.2: mirroring, a rotation around the vertical axis, a scale, a shift. The shift is the
paper's, rotation and scale are those of the authors' configuration.
"""

import math

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float32]
Boxes = NDArray[np.float64]

TURN = math.pi / 4
"""Largest rotation either way, radians."""

SCALE = 0.05
"""Largest change of scale either way."""

SHIFT = 0.2
"""Standard deviation of the shift along each axis, meters."""


def augmented(points: Points, boxes: Boxes, rng: np.random.Generator) -> tuple[Points, Boxes]:
    """New points (n, 4), in random order, and new boxes (m, 7).

    Args:
        points: float32 (n, 4).
        boxes: float64 (m, 7).
        rng: all numbers come from here.
    """
    mirrored = rng.random() < 0.5
    turn, scale = rng.uniform(-TURN, TURN), rng.uniform(1 - SCALE, 1 + SCALE)
    shift = rng.normal(0, SHIFT, 3)
    points, boxes = points[rng.permutation(len(points))], boxes.copy()
    if mirrored:
        points[:, 1] *= -1
        boxes[:, [1, 6]] *= -1
    cosine, sine = math.cos(turn), math.sin(turn)
    rotation = np.array([[cosine, sine], [-sine, cosine]])
    points[:, :2] = points[:, :2] @ rotation
    boxes[:, :2] = boxes[:, :2] @ rotation
    boxes[:, 6] += turn
    points[:, :3] = points[:, :3] * scale + shift
    boxes[:, :6] *= scale
    boxes[:, :3] += shift
    return points, boxes
