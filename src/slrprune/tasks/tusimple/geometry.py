"""Lanes as polylines: at other rows, and moved."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

ABSENT = -2.0
"""The x of a row in which a lane is not there."""

ROUNDING = 1e-6
"""Pixels by which a row may lie beyond a lane's end: rows that are the same are computed in several ways."""


def at_rows(lane: Array, rows: Array, wanted: Array) -> Array:
    """The x of a lane at other rows, by straight lines between its points; `ABSENT` above and below them.

    Args:
        lane: x at each of `rows`, negative where the lane is not there, (r,).
        rows: rising, (r,).
        wanted: the other rows, (w,).
    """
    present = lane >= 0
    if not present.any():
        return np.full(len(wanted), ABSENT)
    inside = wanted.clip(rows[present][0], rows[present][-1])
    x = np.interp(inside, rows[present], lane[present])
    return np.where(np.abs(wanted - inside) <= ROUNDING, x, ABSENT)


def moved(lanes: Array, rows: Array, matrix: Array, size: tuple[int, int]) -> Array:
    """Lanes after an affine map of the image, at the same rows; `ABSENT` where they leave the image.

    Args:
        lanes: (n, r).
        rows: (r,).
        matrix: (2, 3), takes (x, y, 1) to the new (x, y).
        size: width and height of the image.
    """
    result = np.full_like(lanes, ABSENT)
    for number, lane in enumerate(lanes):
        present = lane >= 0
        x, y = matrix @ np.stack([lane[present], rows[present], np.ones(present.sum())])
        order = np.argsort(y, kind="stable")
        # A lane nearly along a row may fold back under a rotation; what is left there rises again.
        keep = np.concatenate([[True], np.diff(y[order]) > 0]) if len(order) else np.zeros(0, dtype=bool)
        x, y = x[order][keep], y[order][keep]
        if len(y) < 2:
            continue
        new = np.interp(rows, y, x, left=np.nan, right=np.nan)
        inside = np.isfinite(new) & (new >= 0) & (new < size[0])
        result[number, inside] = new[inside]
    return result


def slope(lane: Array, rows: Array) -> float:
    """dx / dy of the least-squares line through the points of a lane; NaN with fewer than two points."""
    present = lane >= 0
    if present.sum() < 2:
        return float("nan")
    y = rows[present] - rows[present].mean()
    return float(np.dot(y, lane[present]) / np.dot(y, y))


def length(lane: Array, rows: Array) -> float:
    """Distance between the first and the last point of a lane, pixels."""
    points = np.flatnonzero(lane >= 0)
    if not len(points):
        return 0.0
    first, last = points[0], points[-1]
    return float(np.hypot(lane[last] - lane[first], rows[last] - rows[first]))
