"""Which detections find which objects of a frame, by the rules of KITTI's development kit (see `precision`)."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

COUNTED, IGNORED, OTHER = 0, 1, -1
"""Status of an object or a detection: it counts; it may be matched, but neither helps nor hurts; it is not there."""

_NOBODY = -1


@dataclass(frozen=True)
class Scene:
    """One frame seen by one class, difficulty and kind of overlap: n detections, m objects.

    Attributes:
        objects: status of the objects, int64 (m,).
        detections: status of the detections, int64 (n,).
        scores: of the detections, float64 (n,).
        overlaps: of detections with objects, float64 (n, m).
        excused: for each detection the largest part of it inside a "DontCare" region, float64 (n,).
    """

    objects: NDArray[np.int64]
    detections: NDArray[np.int64]
    scores: NDArray[np.float64]
    overlaps: NDArray[np.float64]
    excused: NDArray[np.float64]


@dataclass(frozen=True)
class Statistics:
    """Counts at one threshold of the score."""

    true_positives: int
    false_positives: int

    @classmethod
    def sum(cls, parts: Iterable["Statistics"]) -> "Statistics":
        """Counts of several frames together."""
        pairs = [(part.true_positives, part.false_positives) for part in parts]
        return cls(sum(true for true, _ in pairs), sum(false for _, false in pairs))

    @property
    def precision(self) -> float:
        """Fraction of the detections that are right; 0 without any."""
        return self.true_positives / max(self.true_positives + self.false_positives, 1)


def found_scores(scene: Scene, least_overlap: float) -> list[float]:
    """Scores of the detections that find a counted object, each object taking the best score that overlaps it."""
    free = scene.detections != OTHER
    scores = []
    for number, status in enumerate(scene.objects):
        near = free & (scene.overlaps[:, number] > least_overlap)
        if status == OTHER or not near.any():
            continue
        taken = int(np.argmax(np.where(near, scene.scores, -np.inf)))
        free[taken] = False
        if status == COUNTED and scene.detections[taken] == COUNTED:
            scores.append(float(scene.scores[taken]))
    return scores


def count(scene: Scene, least_overlap: float, threshold: float) -> Statistics:
    """True and false positives among the detections that score at least `threshold`.

    Here each object takes the detection that overlaps it most, a counted one before an ignored one.
    """
    present = (scene.detections != OTHER) & (scene.scores >= threshold)
    free, right = present.copy(), 0
    for number, status in enumerate(scene.objects):
        if status == OTHER:
            continue
        taken = _taken(scene, free & (scene.overlaps[:, number] > least_overlap), number)
        if taken == _NOBODY:
            continue
        free[taken] = False
        right += int(status == COUNTED and scene.detections[taken] == COUNTED)
    wrong = free & (scene.detections == COUNTED) & (scene.excused <= least_overlap)
    return Statistics(right, int(wrong.sum()))


def _taken(scene: Scene, near: NDArray[np.bool_], number: int) -> int:
    """The detection that an object takes among the near ones, or `_NOBODY`."""
    counted = near & (scene.detections == COUNTED)
    if counted.any():
        return int(np.argmax(np.where(counted, scene.overlaps[:, number], -np.inf)))
    return int(np.argmax(near)) if near.any() else _NOBODY
