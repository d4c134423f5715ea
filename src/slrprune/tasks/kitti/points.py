"""Laser scans: reading them, and keeping what the camera sees."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slrprune.tasks.complaints import Complaints
from slrprune.tasks.kitti.calibration import Calibration

Points = NDArray[np.float32]

BYTES = 16
"""Of one point: x, y, z in meters and the reflectance in [0, 1], little-endian float32."""


def read_points(file: Path, name: str, complaints: Complaints) -> Points | None:
    """The points of a scan, float32 (n, 4); None where the file is of no use.

    Points that are not finite are left out, and a scan that has no others is of no use.

    Args:
        file: the scan.
        name: what to call it in complaints.
        complaints: hears what is wrong.
    """
    try:
        content = file.read_bytes()
    except OSError:
        complaints.add("scans cannot be read", name)
        return None
    if not content or len(content) % BYTES:
        complaints.add("scans are empty or truncated", name)
        return None
    points = np.frombuffer(content, dtype="<f4").reshape(-1, 4).astype(np.float32)
    finite = np.isfinite(points).all(axis=1)
    if not finite.any():
        complaints.add("scans hold no finite point", name)
        return None
    if not finite.all():
        complaints.add("points are not finite", f"{name} ({(~finite).sum()} points)")
        points = points[finite]
    # The sign of the reflectance marks what is no point at all, see `slrprune.tasks.kitti.pillars`.
    np.clip(points[:, 3], 0, 1, out=points[:, 3])
    return points


def seen_points(points: Points, calibration: Calibration, image_size: tuple[int, int]) -> Points:
    """The points (n, 4) that fall into an image of (width, height): only there does KITTI label objects."""
    pixels, depth = calibration.pixels(calibration.camera(points[:, :3].astype(np.float64)))
    inside = (pixels >= 0).all(axis=1) & (pixels < np.array(image_size)).all(axis=1) & (depth > 0)
    return points[inside]
