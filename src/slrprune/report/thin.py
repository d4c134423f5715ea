"""Thousands of points as the few that a screen can show, with every extreme among them."""

from collections.abc import Sequence

import numpy as np


def thin(x: Sequence[float], y: Sequence[float | None], buckets: int) -> tuple[list[float], list[float]]:
    """First, lowest, highest and last point of every bucket, without the points that have no value.

    Drawn as a line over `buckets` columns of pixels, the result looks as all points would: no peak is lost.

    Args:
        x: rising.
        y: one value for each x; None where there is none.
        buckets: at least 1; up to four times as many points remain.

    Returns:
        x and y of the points that remain.

    Examples:
        >>> thin([0, 1, 2, 3, 4, 5, 6, 7, 8], [0, 0, 0, 9, None, 0, -7, 0, 0], 1)
        ([0.0, 3.0, 6.0, 8.0], [0.0, 9.0, -7.0, 0.0])

    Reference:
        U. Jugel and others, "M4: a visualization-oriented time series data aggregation", VLDB 2014.
    """
    known = np.array([value is not None for value in y], dtype=bool)
    xs = np.asarray(x, dtype=np.float64)[known]
    ys = np.array([value for value in y if value is not None], dtype=np.float64)
    if len(ys) > 4 * buckets:
        chosen = [_extremes(ys, part) for part in np.array_split(np.arange(len(ys)), buckets)]
        kept = np.unique(np.concatenate(chosen))
        xs, ys = xs[kept], ys[kept]
    return xs.tolist(), ys.tolist()


def means(x: Sequence[float], y: Sequence[float | None], buckets: int) -> tuple[list[float], list[float | None]]:
    """The mean of every bucket of neighbours, and the x at which it begins; None where a bucket has no value.

    Examples:
        >>> means([0, 1, 2, 3], [1.0, 0.0, None, None], 2)
        ([0.0, 2.0], [0.5, None])
    """
    parts = np.array_split(np.arange(len(y)), min(buckets, len(y))) if y else []
    found: list[float | None] = []
    for part in parts:
        values = [value for index in part if (value := y[index]) is not None]
        found.append(sum(values) / len(values) if values else None)
    return [float(x[part[0]]) for part in parts], found


def every(count: int, wanted: int) -> list[int]:
    """At most `wanted` of `count` positions, evenly spread, with the first and the last.

    Examples:
        >>> every(9, 3), every(2, 5)
        ([0, 4, 8], [0, 1])
    """
    if count <= wanted:
        return list(range(count))
    return sorted(dict.fromkeys(round(index * (count - 1) / (wanted - 1)) for index in range(wanted)))


def _extremes(y: "np.ndarray", part: "np.ndarray") -> "np.ndarray":
    inside = y[part]
    return part[[0, int(inside.argmin()), int(inside.argmax()), -1]]
