"""TuSimple's accuracy and its rates of false positives and negatives, as the official script computes them.

This is `evaluate/lane.py` of the TuSimple benchmark, to the letter:

* A point is right if it lies within 20 pixels / cos(angle) of the labelled one, where the angle is that of a straight
  line through the labelled lane, x over y. Where both are absent, that is right, too.
* A labelled lane's accuracy is the largest share of right points that any predicted lane reaches on it; below 0.85 the
  lane is missed. One predicted lane may answer for several labelled ones.
* With five labelled lanes the worst one is left out, and one miss is forgiven: a fifth lane is labelled where the car
  changes lanes.
* More than two lanes too many, and the image scores no accuracy and a miss.

The script's limit of 200 ms for an image is left out: it judges a machine.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Lane = NDArray[np.float64]
"""The x of each sampled row in pixels; negative where there is no lane."""

PIXELS = 20.0
LEAST = 0.85
MOST_EXTRA = 2
LANES = 4
"""Lanes expected in an image."""

_ABSENT = -100.0
"""What the script puts in the place of an absent point."""


@dataclass(frozen=True)
class LaneScores:
    """What the official script prints, for one image or the mean over images.

    Attributes:
        accuracy: fraction of right points.
        false_positives: fraction of the predicted lanes that match no labelled one.
        false_negatives: fraction of the labelled lanes that are missed.
    """

    accuracy: float
    false_positives: float
    false_negatives: float

    @classmethod
    def mean(cls, scores: Iterable["LaneScores"]) -> "LaneScores":
        """The mean over images; NaN without any."""
        rows = [(score.accuracy, score.false_positives, score.false_negatives) for score in scores]
        if not rows:
            return cls(float("nan"), float("nan"), float("nan"))
        return cls(*np.mean(rows, axis=0).tolist())


def score(predicted: Sequence[Lane], labelled: Sequence[Lane], rows: NDArray[np.float64]) -> LaneScores:
    """Compares the lanes of one image.

    Args:
        predicted: each (r,).
        labelled: each (r,).
        rows: the y of the sampled rows in pixels, (r,).
    """
    if len(predicted) > len(labelled) + MOST_EXTRA:
        return LaneScores(0.0, 0.0, 1.0)
    best = [_best_accuracy(predicted, lane, PIXELS / np.cos(angle(lane, rows))) for lane in labelled]
    missed = sum(accuracy < LEAST for accuracy in best)
    wrong = len(predicted) - (len(labelled) - missed)
    total = sum(best)
    if len(labelled) > LANES:
        missed -= missed > 0
        total -= min(best)
    expected = max(min(LANES, len(labelled)), 1)
    return LaneScores(total / expected, wrong / len(predicted) if len(predicted) else 0.0, missed / expected)


def angle(lane: Lane, rows: NDArray[np.float64]) -> float:
    """The angle between a labelled lane and the vertical, radians: that of the least-squares line x = a + k y."""
    present = lane >= 0
    if present.sum() < 2:
        return 0.0
    y = rows[present] - rows[present].mean()
    return float(np.arctan(np.dot(y, lane[present]) / np.dot(y, y)))


def _best_accuracy(predicted: Sequence[Lane], lane: Lane, limit: float) -> float:
    wanted = np.where(lane >= 0, lane, _ABSENT)
    shares = [np.mean(np.abs(np.where(guess >= 0, guess, _ABSENT) - wanted) < limit) for guess in predicted]
    return float(max(shares, default=0.0))
