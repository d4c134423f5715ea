"""From a picture of lane pixels to lanes: row by row upwards, what continues a lane is added to it."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LIKELY = 0.5
"""Value above which a pixel is lane."""

REACH = 3.0
"""Pixels by which a lane may miss the place where its course so far would put it, for each row since its last point."""

GAP = 0.15
"""Longest gap in a lane, as a fraction of the picture's height."""

HISTORY = 8
"""Points that a lane's course is taken from."""

LEAST_POINTS = 4
"""Rows that a lane must have at least."""


@dataclass
class _Trace:
    """A lane on its way up: its points so far, lowest first."""

    x: list[float] = field(default_factory=list)
    y: list[int] = field(default_factory=list)

    def expected(self, row: int) -> float:
        """Where its course so far would put it."""
        x, y = self.x[-HISTORY:], self.y[-HISTORY:]
        if len(x) < 2:
            return x[-1]
        return x[-1] + (x[-1] - x[0]) / (y[-1] - y[0]) * (row - y[-1])


def trace(picture: Array) -> list[Array]:
    """The lanes in a picture, those with most points first.

    Args:
        picture: how likely each pixel is lane, in [0, 1], float64 (h, w).

    Returns:
        For each lane its x in each row, (h,); -2 where it has no point.
    """
    traces: list[_Trace] = []
    for row in range(len(picture) - 1, -1, -1):
        centers = _centers(picture[row])
        for number, center in _pairs(traces, centers, row, GAP * len(picture)):
            traces[number].x.append(centers[center])
            traces[number].y.append(row)
            centers[center] = np.nan
        traces += [_Trace([x], [row]) for x in centers if not np.isnan(x)]
    kept = sorted((found for found in traces if len(found.y) >= LEAST_POINTS), key=lambda found: -len(found.y))
    lanes = []
    for found in kept:
        lane = np.full(len(picture), -2.0)
        lane[found.y] = found.x
        lanes.append(lane)
    return lanes


def _centers(row: Array) -> list[float]:
    """The middle of each run of lane pixels, weighted by how likely they are."""
    marked = np.concatenate([[False], row > LIKELY, [False]])
    borders = np.flatnonzero(marked[1:] != marked[:-1])
    runs = [np.arange(start, end) for start, end in borders.reshape(-1, 2)]
    return [float(np.average(run, weights=row[run])) for run in runs]


def _pairs(traces: list[_Trace], centers: list[float], row: int, gap: float) -> list[tuple[int, int]]:
    """Which lane goes on at which center, the best fits first; each lane and each center is used once."""
    fits = []
    for number, found in enumerate(traces):
        since = found.y[-1] - row
        if since > gap + 1:
            continue
        for center, x in enumerate(centers):
            miss = abs(x - found.expected(row))
            if miss <= REACH * since:
                fits.append((miss, number, center))
    pairs: list[tuple[int, int]] = []
    for _, number, center in sorted(fits):
        if all(number != pair[0] and center != pair[1] for pair in pairs):
            pairs.append((number, center))
    return pairs
