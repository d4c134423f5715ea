"""A table of average precisions: classes, kinds of overlap, difficulties."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slrprune.tasks.kitti.boxes import boxes_from_labels
from slrprune.tasks.kitti.detect import Detections
from slrprune.tasks.kitti.folder import Frame
from slrprune.tasks.kitti.labels import Label
from slrprune.tasks.kitti.matching import COUNTED, IGNORED, OTHER, Scene
from slrprune.tasks.kitti.overlap import image_overlaps, overlaps_from_above, overlaps_in_space
from slrprune.tasks.kitti.precision import DIFFICULTIES, LEAST_OVERLAP, NEIGHBORS, Difficulty, average_precision

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Overlaps:
    """One frame's detections against its labels, "DontCare" left out: by kind of overlap, (n, m) each; and the excuses.

    Attributes:
        image: of boxes in the image.
        above: of footprints ("bird's eye view").
        space: of volumes.
        excused: largest part of each detection's image box that lies in one "DontCare" region, (n,).
    """

    image: Array
    above: Array
    space: Array
    excused: Array


@dataclass(frozen=True)
class Judged:
    """One frame with what was found in it.

    Attributes:
        labels: without "DontCare".
        found: the detections.
        overlaps: between both.
    """

    labels: tuple[Label, ...]
    found: Detections
    overlaps: Overlaps


OVERLAP_KINDS: dict[str, Callable[[Overlaps], tuple[Array, Array]]] = {
    "image": lambda overlaps: (overlaps.image, overlaps.excused),
    "above": lambda overlaps: (overlaps.above, np.zeros_like(overlaps.excused)),
    "space": lambda overlaps: (overlaps.space, np.zeros_like(overlaps.excused)),
}
"""Kinds of overlap, and where each is found, with the excuses that count for it."""


def judge(frame: Frame, found: Detections) -> Judged:
    """Compares a frame's labels with what was found in it."""
    labels = tuple(label for label in frame.labels if not label.is_dont_care)
    regions = [label.image_box for label in frame.labels if label.is_dont_care]
    boxes = boxes_from_labels(labels, frame.calibration)
    pixels = np.array([label.image_box for label in labels], dtype=np.float64).reshape(-1, 4)
    inside = image_overlaps(found.image_boxes, np.array(regions, dtype=np.float64).reshape(-1, 4), of_first=True)
    overlaps = Overlaps(
        image_overlaps(found.image_boxes, pixels),
        overlaps_from_above(found.boxes, boxes),
        overlaps_in_space(found.boxes, boxes),
        inside.max(axis=1, initial=0),
    )
    return Judged(labels, found, overlaps)


def average_precisions(frames: Sequence[Judged], classes: Sequence[str]) -> dict[tuple[str, str, str], float]:
    """Average precision in percent by (class, kind of overlap, difficulty); NaN where no object counts.

    Args:
        frames: all of the split.
        classes: in the order of the class numbers.
    """
    return {
        (name, kind, difficulty.name): precision_of(frames, number, name, kind, difficulty)
        for number, name in enumerate(classes)
        for kind in OVERLAP_KINDS
        for difficulty in DIFFICULTIES
    }


def precision_of(frames: Sequence[Judged], number: int, name: str, kind: str, difficulty: Difficulty) -> float:
    """Average precision in percent of one class; NaN where no object counts.

    Args:
        frames: all of the split.
        number: of the class.
        name: of the class.
        kind: one of `OVERLAP_KINDS`.
        difficulty: which objects count.
    """
    scenes = [_scene(frame, number, name, kind, difficulty) for frame in frames]
    return average_precision(scenes, LEAST_OVERLAP[name])


def _scene(frame: Judged, number: int, name: str, kind: str, difficulty: Difficulty) -> Scene:
    objects = np.array([_object_status(label, name, difficulty) for label in frame.labels], dtype=np.int64)
    found = frame.found
    height = np.abs(found.image_boxes[:, 3] - found.image_boxes[:, 1]).astype(np.int64)
    detections = np.where(found.kinds == number, COUNTED, OTHER)
    detections = np.where(height < difficulty.least_height, IGNORED, detections)
    overlaps, excused = OVERLAP_KINDS[kind](frame.overlaps)
    return Scene(objects, detections, found.scores, overlaps, excused)


def _object_status(label: Label, name: str, difficulty: Difficulty) -> int:
    _, top, _, bottom = label.image_box
    if label.kind != name:
        return IGNORED if NEIGHBORS.get(name) == label.kind else OTHER
    too_hard = (
        label.occlusion > difficulty.most_occlusion
        or label.truncation > difficulty.most_truncation
        or bottom - top <= difficulty.least_height
    )
    return IGNORED if too_hard else COUNTED
