"""How far boxes overlap: exact areas of rotated rectangles, seen from above and in space."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_TOLERANCE = 1e-9
"""Meters by which a corner may lie outside a rectangle and still count as on its border."""


def intersection_areas(first: Array, second: Array) -> Array:
    """Areas common to pairs of rectangles.

    The common polygon's corners are the corners of either rectangle that lie in the other, and the points where
    their sides cross; sorted by angle around their mean they give the area by the shoelace formula.

    Args:
        first: float64 (k, 5): center x and y, length, width, heading.
        second: the other rectangle of each pair, (k, 5).

    Returns:
        Square meters, (k,).
    """
    # Coordinates relative to the first center: far from the origin, differences would lose digits.
    shift = first[:, None, :2]
    a, b = _rectangle(first) - shift, _rectangle(second) - shift
    crossings, crossed = _crossings(a, b)
    points = np.concatenate([a, b, crossings], axis=1)
    origin = np.zeros_like(first[:, :2])
    inside = [_contains(origin, first, b), crossed]
    valid = np.concatenate([_contains(second[:, :2] - first[:, :2], second, a), *inside], axis=1)
    return _polygon_areas(points, valid)


def overlaps_from_above(first: Array, second: Array) -> Array:
    """Intersection over union of the boxes' footprints, (n, m), for boxes (n, 7) and (m, 7)."""
    common = _common_areas(first, second)
    areas = [boxes[:, 3] * boxes[:, 4] for boxes in (first, second)]
    return common / (areas[0][:, None] + areas[1][None] - common)


def overlaps_in_space(first: Array, second: Array) -> Array:
    """Intersection over union of volumes, (n, m), for boxes (n, 7) and (m, 7) that stand upright."""
    top = np.minimum((first[:, 2] + first[:, 5] / 2)[:, None], (second[:, 2] + second[:, 5] / 2)[None])
    bottom = np.maximum((first[:, 2] - first[:, 5] / 2)[:, None], (second[:, 2] - second[:, 5] / 2)[None])
    common = _common_areas(first, second) * (top - bottom).clip(0)
    volumes = [boxes[:, 3:6].prod(axis=1) for boxes in (first, second)]
    overlap: Array = common / (volumes[0][:, None] + volumes[1][None] - common)
    return overlap


def image_overlaps(first: Array, second: Array, *, of_first: bool = False) -> Array:
    """Overlaps (n, m) of boxes in the image, (n, 4) and (m, 4): left, top, right, bottom.

    Args:
        first: boxes (n, 4).
        second: boxes (m, 4).
        of_first: divide by the first box's area and not by that of the union.
    """
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    common = (high - low).clip(0).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (first, second)]
    whole = areas[0][:, None] if of_first else areas[0][:, None] + areas[1][None] - common
    overlap: Array = common / np.maximum(whole, 1e-12)
    return overlap


def _common_areas(first: Array, second: Array) -> Array:
    """Areas (n, m) common to footprints; only pairs whose circumscribed circles meet are computed."""
    reach = [np.hypot(boxes[:, 3], boxes[:, 4]) / 2 for boxes in (first, second)]
    distance = np.hypot(*(first[:, None, axis] - second[None, :, axis] for axis in (0, 1)))
    rows, columns = np.nonzero(distance < reach[0][:, None] + reach[1][None])
    common = np.zeros((len(first), len(second)))
    footprint = [0, 1, 3, 4, 6]
    common[rows, columns] = intersection_areas(first[rows][:, footprint], second[columns][:, footprint])
    return common


def _rectangle(rectangles: Array) -> Array:
    """Corners (k, 4, 2), counter-clockwise."""
    u = np.array([0.5, -0.5, -0.5, 0.5]) * rectangles[:, 2:3]
    v = np.array([0.5, 0.5, -0.5, -0.5]) * rectangles[:, 3:4]
    cosine, sine = np.cos(rectangles[:, 4:]), np.sin(rectangles[:, 4:])
    return np.stack([u * cosine - v * sine, u * sine + v * cosine], axis=2) + rectangles[:, None, :2]


def _contains(centers: Array, rectangles: Array, points: Array) -> NDArray[np.bool_]:
    """Which points (k, p, 2) lie in the rectangle (k, 5) of their row, moved to `centers` (k, 2)."""
    x, y = np.moveaxis(points - centers[:, None], 2, 0)
    cosine, sine = np.cos(rectangles[:, 4:]), np.sin(rectangles[:, 4:])
    along, across = np.abs(x * cosine + y * sine), np.abs(y * cosine - x * sine)
    half_length, half_width = rectangles[:, 2:3] / 2 + _TOLERANCE, rectangles[:, 3:4] / 2 + _TOLERANCE
    inside: NDArray[np.bool_] = (along <= half_length) & (across <= half_width)
    return inside


def _crossings(a: Array, b: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Where the four sides of a cross those of b: points (k, 16, 2), and which of them there are, (k, 16)."""
    start, side = a[:, :, None], (np.roll(a, -1, axis=1) - a)[:, :, None]
    other_start, other_side = b[:, None], (np.roll(b, -1, axis=1) - b)[:, None]
    turn = _cross(side, other_side)
    lengths = np.linalg.norm(side, axis=3) * np.linalg.norm(other_side, axis=3)
    parallel = np.abs(turn) <= 1e-12 * lengths
    turn = np.where(parallel, 1, turn)
    t = _cross(other_start - start, other_side) / turn
    u = _cross(other_start - start, side) / turn
    met = ~parallel & (t >= 0) & (t <= 1) & (u >= 0) & (u <= 1)
    return (start + t[..., None] * side).reshape(len(a), 16, 2), met.reshape(len(a), 16)


def _cross(p: Array, q: Array) -> Array:
    crossed: Array = p[..., 0] * q[..., 1] - p[..., 1] * q[..., 0]
    return crossed


def _polygon_areas(points: Array, valid: NDArray[np.bool_]) -> Array:
    """Areas of the convex polygons with the valid ones of the points (k, p, 2) as corners, in any order."""
    count = valid.sum(axis=1)
    points = np.where(valid[..., None], points, 0)
    points -= (points.sum(axis=1) / np.maximum(count, 1)[:, None])[:, None]
    angle = np.where(valid, np.arctan2(points[..., 1], points[..., 0]), np.inf)
    order = np.argsort(angle, axis=1)
    sorted_points = np.take_along_axis(points, order[..., None], axis=1)
    # What is no corner repeats the first one, and adds nothing to the sum.
    kept = np.take_along_axis(valid, order, axis=1)[..., None]
    sorted_points = np.where(kept, sorted_points, sorted_points[:, :1])
    twice = _cross(sorted_points, np.roll(sorted_points, -1, axis=1)).sum(axis=1)
    return np.where(count >= 3, np.abs(twice) / 2, 0)
