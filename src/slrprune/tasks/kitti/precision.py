"""KITTI's average precision, by the rules of the official development kit.

What this computes is what `evaluate_object.cpp` of the object development kit computes with 41 recall points, of which
the first is left out of the mean (40 points since October 2019; A. Simonelli et al., "Disentangling monocular 3D object
detection", ICCV 2019, section 5). To the letter, that includes:

* An object counts for a difficulty if its image box is higher than the least height and it is neither occluded nor
  truncated too far; otherwise it is ignored, as is an object of a similar class (a van for a car): finding it is
  neither right nor wrong.
* A detection lower than the least height in the image is ignored, too, but may use up an object. The height is cut to
  whole pixels. The rule knows no class: a low detection of another class can use up an object as well.
* Recall is sampled at scores of true positives, the k-th one where recall comes nearest to k / 40. With n objects there
  are at most n samples, so fewer than 41 objects cannot reach 100. The kit adds 1 / 40 up in floating point, and its
  rounding decides where two scores are equally near, so it is added up here as well.
* Detections in a "DontCare" region are not counted as false. The regions are known in the image only, so this has an
  effect on the overlap "image" alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slrprune.tasks.kitti.matching import COUNTED, Matcher, Scene, Statistics

RECALL_POINTS = 40


@dataclass(frozen=True)
class Difficulty:
    """Which objects count.

    Attributes:
        name: "easy", "moderate" or "hard".
        least_height: of the image box, pixels; an object must exceed it, a detection may equal it.
        most_occlusion: level, 0 to 2.
        most_truncation: fraction outside the image.
    """

    name: str
    least_height: int
    most_occlusion: int
    most_truncation: float


EASY = Difficulty("easy", 40, 0, 0.15)
MODERATE = Difficulty("moderate", 25, 1, 0.3)
HARD = Difficulty("hard", 25, 2, 0.5)
DIFFICULTIES = (EASY, MODERATE, HARD)

LEAST_OVERLAP = {"Car": 0.7, "Pedestrian": 0.5, "Cyclist": 0.5}
"""That a detection must exceed, in the image, from above and in space."""

NEIGHBORS = {"Car": "Van", "Pedestrian": "Person_sitting"}
"""Classes so similar that finding one is no mistake."""


def average_precision(scenes: Sequence[Scene], least_overlap: float) -> float:
    """The mean precision at 40 levels of recall, in percent; NaN where no object counts.

    Args:
        scenes: one for each frame.
        least_overlap: that a match must exceed, in [0, 1).
    """
    objects = sum(int((scene.objects == COUNTED).sum()) for scene in scenes)
    if not objects:
        return float("nan")
    matchers = [Matcher(scene, least_overlap) for scene in scenes]
    scores = [score for matcher in matchers for score in matcher.found_scores()]
    precision = np.zeros(RECALL_POINTS + 1)
    for point, threshold in enumerate(sampled_scores(scores, objects)):
        total = Statistics.sum(matcher.count(threshold) for matcher in matchers)
        precision[point] = total.precision
    best_from_here: NDArray[np.float64] = np.maximum.accumulate(precision[::-1])[::-1]
    return float(100 * best_from_here[1:].mean())


def sampled_scores(scores: Sequence[float], objects: int) -> list[float]:
    """The scores at which recall comes nearest to 0, 1/40, 2/40, ...; best first.

    Args:
        scores: of all true positives, in any order.
        objects: that count, at least 1.
    """
    ordered = sorted(scores, reverse=True)
    samples: list[float] = []
    wanted = 0.0
    for number, score in enumerate(ordered, start=1):
        last = number == len(ordered)
        if not last and (number + 1) / objects - wanted < wanted - number / objects:
            continue
        samples.append(score)
        wanted += 1 / RECALL_POINTS
    return samples
