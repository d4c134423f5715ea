"""Which detections find which objects of a frame, by the rules of KITTI's development kit (see `precision`)."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

COUNTED, IGNORED, OTHER = 0, 1, -1
"""Status of an object or a detection: it counts; it may be matched, but neither helps nor hurts; it is not there."""


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


class Matcher:
    """The matches of one frame, at any threshold of the score.

    Args:
        scene: the frame.
        least_overlap: that a match must exceed, in [0, 1).
    """

    def __init__(self, scene: Scene, least_overlap: float) -> None:
        self._counts = scene.objects == COUNTED
        self._present = np.flatnonzero(scene.objects != OTHER).tolist()
        self._counted = (scene.detections == COUNTED).tolist()
        self._scores = scene.scores.tolist()
        near = (scene.overlaps > least_overlap) & (scene.detections != OTHER)[:, None]
        # For every object that counts or is ignored, who overlaps it far enough: few, so that lists beat arrays.
        self._by_score, self._by_overlap = {}, {}
        for number in self._present:
            candidates = np.flatnonzero(near[:, number])
            scores, overlaps = scene.scores[candidates], scene.overlaps[candidates, number]
            counted = scene.detections[candidates] == COUNTED
            self._by_score[number] = candidates[np.argsort(-scores, kind="stable")].tolist()
            # A counted detection comes before an ignored one; ignored ones keep their order.
            order = np.lexsort((np.where(counted, -overlaps, 0), ~counted))
            self._by_overlap[number] = candidates[order].tolist()
        blamed = (scene.detections == COUNTED) & (scene.excused <= least_overlap)
        self._blamed = blamed.tolist()
        self._blamed_scores = np.sort(scene.scores[blamed])

    def found_scores(self) -> list[float]:
        """Scores of the detections that find a counted object, each object taking the best score that overlaps it."""
        taken: set[int] = set()
        scores = []
        for number in self._present:
            best = next((entry for entry in self._by_score[number] if entry not in taken), None)
            if best is None:
                continue
            taken.add(best)
            if self._counts[number] and self._counted[best]:
                scores.append(self._scores[best])
        return scores

    def count(self, threshold: float) -> Statistics:
        """True and false positives among the detections that score at least `threshold`.

        Here each object takes the detection that overlaps it most, a counted one before an ignored one.
        """
        taken: set[int] = set()
        right = 0
        for number in self._present:
            for entry in self._by_overlap[number]:
                if self._scores[entry] >= threshold and entry not in taken:
                    taken.add(entry)
                    right += bool(self._counts[number] and self._counted[entry])
                    break
        blamed = len(self._blamed_scores) - int(np.searchsorted(self._blamed_scores, threshold))
        return Statistics(right, blamed - sum(self._blamed[entry] for entry in taken))
