"""KITTI's label files: one object per line, in the camera's coordinates.

A. Geiger, P. Lenz, R. Urtasun, "Are we ready for autonomous driving?", CVPR 2012; the fields are those of the object
development kit's readme.
"""

import math
from dataclasses import dataclass
from pathlib import Path

from slrprune.tasks.complaints import Complaints

KINDS = ("Car", "Van", "Truck", "Pedestrian", "Person_sitting", "Cyclist", "Tram", "Misc", "DontCare")
"""All classes of the data set; "DontCare" marks regions of the image whose objects were not labelled."""

FIELDS = 15
"""Of a label; a detection has the score as a sixteenth."""

_OCCLUSIONS = (-1, 0, 1, 2, 3)
_MOST_ROTATION = math.pi + 0.02
"""Half a turn, rounded up in its second digit."""

_MOST_SIZE = 100.0
_MOST_DISTANCE = 1000.0


@dataclass(frozen=True)
class Label:
    """One line of a label file.

    Attributes:
        kind: one of `KINDS`.
        truncation: fraction of the object outside the image, 0 to 1; -1 for "DontCare" and where it is unknown.
        occlusion: 0 visible, 1 partly, 2 largely occluded, 3 or -1 unknown; -1 for "DontCare".
        image_box: left, top, right, bottom in pixels.
        size: height, width, length in meters.
        location: x, y, z of the center of the bottom face, in the rectified camera's coordinates, meters.
        rotation: around the camera's y axis, radians, in [-pi, pi].
    """

    kind: str
    truncation: float
    occlusion: int
    image_box: tuple[float, float, float, float]
    size: tuple[float, float, float]
    location: tuple[float, float, float]
    rotation: float

    @property
    def is_dont_care(self) -> bool:
        """Whether this is a region that no detection is judged in."""
        return self.kind == "DontCare"


def read_labels(file: Path, name: str, image_size: tuple[int, int], complaints: Complaints) -> tuple[Label, ...] | None:
    """The usable labels of one frame; None where the file as a whole is of no use.

    Args:
        file: the label file.
        name: what to call it in complaints.
        image_size: width and height in pixels; a box that misses the image altogether is left out.
        complaints: hears of lines that cannot be used, and of a file that is empty or has no object left without them.
    """
    try:
        lines = file.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        complaints.add("label files cannot be read", name)
        return None
    numbered = [(number, line.split()) for number, line in enumerate(lines, start=1) if line.strip()]
    if not numbered:
        complaints.add("label files are empty", name)
        return None
    labels, lost = [], 0
    for number, fields in numbered:
        label = _parse(fields)
        problem = label if isinstance(label, str) else _problem(label, image_size)
        if problem:
            complaints.add(problem, f"{name}, line {number}")
            lost += fields[0] != "DontCare"
        elif isinstance(label, Label):
            labels.append(label)
    # With none of its objects left, the frame would teach that there are none.
    if lost and all(label.is_dont_care for label in labels):
        complaints.add("label files have no usable object left", name)
        return None
    return tuple(labels)


def _parse(fields: list[str]) -> Label | str:
    """The label, or what is wrong with it."""
    if len(fields) != FIELDS:
        return f"labels have another number of fields than {FIELDS}"
    if fields[0] not in KINDS:
        return "labels name no class of KITTI"
    try:
        values = [float(field) for field in fields[1:]]
    except ValueError:
        return "labels hold something other than numbers"
    if not all(map(math.isfinite, values)):
        return "labels hold numbers that are not finite"
    truncation, occlusion, _, x0, y0, x1, y1, height, width, length, x, y, z, rotation = values
    if not occlusion.is_integer():
        return "occlusions are none of KITTI's levels"
    return Label(fields[0], truncation, int(occlusion), (x0, y0, x1, y1), (height, width, length), (x, y, z), rotation)


def _problem(label: Label, image_size: tuple[int, int]) -> str:
    """What is wrong with the label's numbers, "" if nothing."""
    left, top, right, bottom = label.image_box
    if right <= left or bottom <= top:
        return "boxes have no area in the image"
    if right <= 0 or bottom <= 0 or left >= image_size[0] or top >= image_size[1]:
        return "boxes lie outside the image"
    return "" if label.is_dont_care else _problem_in_space(label)


def _problem_in_space(label: Label) -> str:
    """What no object can have, "" if nothing."""
    if min(label.size) <= 0:
        return "boxes have no volume"
    if max(label.size) >= _MOST_SIZE:
        return f"boxes measure {_MOST_SIZE:g} m or more"
    if max(map(abs, label.location)) >= _MOST_DISTANCE:
        return f"boxes are {_MOST_DISTANCE:g} m away or more"
    if abs(label.rotation) > _MOST_ROTATION:
        return "rotations exceed half a turn"
    if not (0 <= label.truncation <= 1 or label.truncation == -1):
        return "truncations are not in [0, 1]"
    if label.occlusion not in _OCCLUSIONS:
        return "occlusions are none of KITTI's levels"
    return ""
