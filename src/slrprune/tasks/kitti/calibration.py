"""From the laser scanner's coordinates to the camera's and into the image.

The scanner looks along x, with y to the left and z up; the rectified camera looks along z, with x to the right and y
down. A. Geiger et al., "Vision meets robotics: the KITTI dataset", IJRR 2013, section 4.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slrprune.tasks.complaints import Complaints

Array = NDArray[np.float64]

_SHAPES = {"P2": (3, 4), "R0_rect": (3, 3), "Tr_velo_to_cam": (3, 4)}
"""The matrices that are used, of the seven in a file."""

_AXES = np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]])
"""The camera's axes in the scanner's coordinates, were both mounted exactly straight."""

_TOLERANCE = 1e-2
"""Of rotations and of the projection's last row, which files hold to six digits or more."""

_LEAST_ALONG = 0.9
"""Cosine between a camera's axis and where `_AXES` has it. KITTI's cars have more than 0.999."""

_FOCAL_LENGTHS = (10.0, 1e5)
"""Pixels; KITTI's are about 720."""

_FARTHEST = 100.0
"""Meters between scanner and camera; KITTI's are 0.3 apart."""


@dataclass(frozen=True)
class Calibration:
    """The geometry of one frame.

    Attributes:
        projection: float64 (3, 4), rectified camera to the pixels of the left color image, homogeneous.
        to_camera: float64 (3, 4), scanner to rectified camera: R0_rect times Tr_velo_to_cam.
    """

    projection: Array
    to_camera: Array

    def camera(self, points: Array) -> Array:
        """Points (n, 3) of the scanner in the rectified camera's coordinates, (n, 3)."""
        camera: Array = points @ self.to_camera[:, :3].T + self.to_camera[:, 3]
        return camera

    def scanner(self, points: Array) -> Array:
        """Points (n, 3) of the rectified camera in the scanner's coordinates, (n, 3)."""
        # The rotation of a calibration file is orthonormal to six digits only, so it is inverted and not transposed.
        scanner: Array = np.linalg.solve(self.to_camera[:, :3], (points - self.to_camera[:, 3]).T).T
        return scanner

    def pixels(self, points: Array) -> tuple[Array, Array]:
        """Points (n, 3) of the rectified camera in the image: pixels (n, 2) and depths (n,), negative behind it."""
        homogeneous = points @ self.projection[:, :3].T + self.projection[:, 3]
        depth = homogeneous[:, 2]
        safe = np.where(np.abs(depth) < 1e-9, 1e-9, depth)
        return homogeneous[:, :2] / safe[:, None], depth


def read_calibration(file: Path, name: str, complaints: Complaints) -> Calibration | None:
    """The calibration of one frame; None where the file is of no use.

    Args:
        file: the calibration file.
        name: what to call it in complaints.
        complaints: hears what is wrong.
    """
    try:
        lines = file.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        complaints.add("calibration files cannot be read", name)
        return None
    entries = dict(line.split(":", 1) for line in lines if ":" in line)
    matrices = {key: _matrix(entries.get(key, ""), shape) for key, shape in _SHAPES.items()}
    projection, rectification, to_camera = matrices.values()
    if projection is None or rectification is None or to_camera is None:
        complaints.add(f"calibration files lack one of {', '.join(_SHAPES)}", name)
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        combined = rectification @ to_camera
        problem = _problem(projection, combined)
    if problem:
        complaints.add(problem, name)
        return None
    return Calibration(projection, combined)


def _problem(projection: Array, to_camera: Array) -> str:
    """What shows that these are the matrices of other sensors, or damaged ones; "" if nothing."""
    rotation, shift = to_camera[:, :3], to_camera[:, 3]
    # Every comparison is written so that it fails for what overflowed to NaN.
    if not (np.abs(rotation @ rotation.T - np.eye(3)) <= _TOLERANCE).all():
        return "calibration files hold no rotation"
    if not ((rotation * _AXES).sum(axis=1) >= _LEAST_ALONG).all():
        return "calibration files do not turn the scanner's axes to the camera's"
    if not (np.abs(shift) <= _FARTHEST).all():
        return f"calibration files have scanner and camera more than {_FARTHEST:g} m apart"
    least, most = _FOCAL_LENGTHS
    focal = projection[[0, 1], [0, 1]]
    last_row = np.abs(projection[2, :3] - (0, 0, 1))
    if not ((focal >= least).all() and (np.abs(projection) <= most).all() and (last_row <= _TOLERANCE).all()):
        return "calibration files hold no camera's projection"
    return ""


def _matrix(text: str, shape: tuple[int, int]) -> Array | None:
    try:
        values = np.array(text.split(), dtype=np.float64)
    except ValueError:
        return None
    if values.size != shape[0] * shape[1] or not np.isfinite(values).all():
        return None
    return values.reshape(shape)
