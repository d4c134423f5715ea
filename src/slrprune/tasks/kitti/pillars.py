"""Scans as pillars: points sorted into the cells of a grid seen from above.

The result is the paper's dense tensor of P pillars of N points, with the four numbers of the scanner; the network
itself adds the offsets (`network.PillarFeatures`). A slot without a point has the reflectance `EMPTY`, which no point
has, so that one tensor says everything: where a pillar stands follows from its first point.
"""

import numpy as np
from numpy.typing import NDArray

from slrprune.tasks.kitti.design import Design

EMPTY = -1.0
"""Reflectance of a slot that holds no point."""


def pillars(points: NDArray[np.float32], design: Design) -> NDArray[np.float32]:
    """The pillars of one scan.

    Where there are too many pillars, or points in a pillar, those that come first in the scan stay. Shuffle the points
    for the paper's random choice.

    Args:
        points: float32 (n, 4).
        design: gives the grid and the limits.

    Returns:
        float32 (pillars, points, 4), pillars in the order in which their first points come.
    """
    inside = points[((points[:, :3] >= design.low) & (points[:, :3] < design.high)).all(axis=1)]
    cells = cell_numbers(inside, design)
    found, first, pillar = np.unique(cells, return_index=True, return_inverse=True)
    # np.unique sorts by cell; the rank of a pillar is the rank of its first point.
    rank = np.empty(len(found), dtype=np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(len(found))
    pillar = rank[pillar.reshape(-1)]
    order = np.argsort(pillar, kind="stable")
    pillar = pillar[order]
    slot = np.arange(len(order)) - np.searchsorted(pillar, pillar)
    kept = (pillar < design.pillars) & (slot < design.points)
    filled = np.zeros((design.pillars, design.points, 4), dtype=np.float32)
    filled[..., 3] = EMPTY
    filled[pillar[kept], slot[kept]] = inside[order[kept]]
    return filled


def cell_numbers(points: NDArray[np.float32], design: Design) -> NDArray[np.int64]:
    """The cell of each point (n, 4), row by row of `design.grid`; the network computes the same, bit for bit."""
    rows, columns = design.grid
    low = np.array(design.low[:2], dtype=np.float32)
    column, row = np.floor((points[:, :2] - low) * np.float32(1 / design.pillar)).astype(np.int64).T
    # Rounding may put a point just inside the range one cell beyond the last.
    cells: NDArray[np.int64] = row.clip(0, rows - 1) * columns + column.clip(0, columns - 1)
    return cells
