"""How sure a drop of the average precision is: bootstrap over the images of the test split.

The images are drawn with replacement, as many as there are; a drawn image counts as often as it was drawn. Both models
are judged on the same draws, so that what is hard about an image cancels. The interval holds the middle part of the
drops (percentile interval, B. Efron and R. Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13).

Matching happens inside an image and does not depend on the draw, so pycocotools does it once; a draw only counts anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slrprune.errors import ArgumentError
from slrprune.tasks.coco.metric import Judged

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Drop:
    """What is lost from one model to another, in points of the average precision; negative is a gain.

    Attributes:
        value: on the split as it is.
        low: lower end of the interval.
        high: upper end.
        before: average precision of the first model, percent.
        after: of the second.
    """

    value: float
    low: float
    high: float
    before: float
    after: float


class _Category(NamedTuple):
    """The detections of one category in all images, best first, and its objects.

    Attributes:
        images: number of each detection's image, int64 (d,).
        right: whether the detection is matched, by overlap, bool (t, d).
        wrong: whether it is not, bool (t, d); neither inside crowds.
        objects: how many count in each image, int64 (n,).
    """

    images: NDArray[np.int64]
    right: NDArray[np.bool_]
    wrong: NDArray[np.bool_]
    objects: NDArray[np.int64]


class Counter:
    """Average precision of one model with images counted any number of times.

    That is pycocotools' value for a data set with copies of the images, but where an image has detections of equal
    scores: pycocotools ranks the copies one after the other there, here equal ones go together.

    Args:
        judged: of `Coco.judge`.
        at_half: at the overlap 0.5 alone; otherwise the mean over 0.5 to 0.95.
    """

    def __init__(self, judged: Judged, *, at_half: bool) -> None:
        self.count = len(judged.names)
        overlaps = slice(0, 1) if at_half else slice(None)
        categories = len(judged.evaluation.params.catIds)
        matched = judged.evaluation.evalImgs
        self.recalls: Array = judged.evaluation.params.recThrs
        # pycocotools lists its results by category, then by image.
        self.categories = [
            _category(matched[place * self.count : (place + 1) * self.count], overlaps) for place in range(categories)
        ]

    def precision(self, times: NDArray[np.int64]) -> float:
        """The mean average precision in percent; NaN where no object counts.

        Args:
            times: how often each image counts, at least 0, int64 (n,).
        """
        values = [
            self._average(category, times, int(objects))
            for category in self.categories
            if (objects := category.objects @ times) > 0
        ]
        return 100 * float(np.mean(values)) if values else float("nan")

    def _average(self, category: _Category, times: NDArray[np.int64], objects: int) -> float:
        """Mean over overlaps and recalls of the best precision at that recall or a larger one."""
        weights = times[category.images]
        right = np.cumsum(category.right * weights, axis=1, dtype=np.float64)
        wrong = np.cumsum(category.wrong * weights, axis=1, dtype=np.float64)
        recall = right / objects
        precision = right / (right + wrong + np.spacing(1))
        best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        # A recall that is never reached has precision 0.
        best = np.concatenate([best, np.zeros((len(best), 1))], axis=1)
        places = np.stack([np.searchsorted(row, self.recalls, side="left") for row in recall])
        return float(np.take_along_axis(best, places, axis=1).mean())


def drop_interval(
    before: Judged, after: Judged, *, at_half: bool = True, draws: int = 2000, level: float = 0.95, seed: int = 0
) -> Drop:
    """What is lost from `before` to `after`, with its paired bootstrap interval.

    Args:
        before: the first model on a split, of `Coco.judge`.
        after: the second model on the same split.
        at_half: mAP@0.5; otherwise mAP@0.5:0.95.
        draws: of images, at least 1.
        level: part of the draws inside the interval, in (0, 1).
        seed: of the draws, at least 0.

    Raises:
        ArgumentError: a value out of range, or the models were judged on other images.
    """
    if before.names != after.names:
        rule = "must be judged on the same images as before"
        raise ArgumentError("drop_interval", "after", f"{len(after.names)} images", rule)
    if draws < 1:
        raise ArgumentError("drop_interval", "draws", draws, "must be at least 1")
    if not 0 < level < 1:
        raise ArgumentError("drop_interval", "level", level, "must be in (0, 1)")
    counters = Counter(before, at_half=at_half), Counter(after, at_half=at_half)
    count = len(before.names)
    once = np.ones(count, dtype=np.int64)
    first, second = (counter.precision(once) for counter in counters)
    rng = np.random.default_rng(seed)
    drops = np.empty(draws)
    for place in range(draws):
        times = np.bincount(rng.integers(count, size=count), minlength=count)
        drops[place] = counters[0].precision(times) - counters[1].precision(times)
    # A draw without any object says nothing.
    low, high = np.nanquantile(drops, [(1 - level) / 2, (1 + level) / 2])
    return Drop(first - second, float(low), float(high), first, second)


def _category(matched: Sequence[Any], overlaps: slice) -> _Category:
    """One category from pycocotools' results for each image, which are None where there is nothing."""
    known = [(number, entry) for number, entry in enumerate(matched) if entry is not None]
    objects = np.zeros(len(matched), dtype=np.int64)
    for number, entry in known:
        objects[number] = np.count_nonzero(np.asarray(entry["gtIgnore"]) == 0)
    if not known:
        nothing = np.zeros((10, 0), dtype=np.bool_)[overlaps]
        return _Category(np.zeros(0, dtype=np.int64), nothing, nothing, objects)
    scores = np.concatenate([entry["dtScores"] for _, entry in known])
    # Of equal scores the earlier image's comes first, as in pycocotools.
    order = np.argsort(-scores, kind="stable")
    matches = np.concatenate([entry["dtMatches"] for _, entry in known], axis=1)[overlaps, order] > 0
    counts = np.concatenate([entry["dtIgnore"] for _, entry in known], axis=1)[overlaps, order] == 0
    images = np.concatenate([np.full(len(entry["dtScores"]), number) for number, entry in known])[order]
    return _Category(images.astype(np.int64), matches & counts, ~matches & counts, objects)
