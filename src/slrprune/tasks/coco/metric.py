"""Average precision of detections as COCO defines it, computed by pycocotools.

Detections are matched to objects image by image, category by category, best score first; a match needs an overlap
(intersection over union) of at least 0.5, or each of 0.5, 0.55, ... 0.95. The average precision of a category is the
mean precision at 101 recalls, "mAP" the mean over the categories that occur.
"""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slrprune.errors import MissingExtraError
from slrprune.tasks.coco.annotations import Photo

Array = NDArray[np.float64]


class Found(NamedTuple):
    """What was found in one photograph, in its own pixels.

    Attributes:
        boxes: left, top, right, bottom, float64 (n, 4).
        scores: larger is surer, float64 (n,).
        labels: places of the categories, int64 (n,).
    """

    boxes: Array
    scores: Array
    labels: NDArray[np.int64]


class Precisions(NamedTuple):
    """Average precisions in percent; NaN where no object counts.

    Attributes:
        at_half: mAP@0.5.
        at_all: mAP@0.5:0.95, the mean over ten overlaps.
        categories: both for each category, float64 (c, 2).
    """

    at_half: float
    at_all: float
    categories: Array


@dataclass(frozen=True, eq=False)
class Judged:
    """Detections matched to the objects of a split.

    Attributes:
        names: of the images, in order.
        evaluation: pycocotools' `COCOeval` after its `evaluate`; images and categories are numbered from 0.
    """

    names: tuple[str, ...]
    evaluation: Any

    def precisions(self) -> Precisions:
        """As pycocotools accumulates them."""
        with contextlib.redirect_stdout(io.StringIO()):
            self.evaluation.accumulate()
        # Overlaps, recalls, categories; one range of areas; the largest number of detections. -1 means no object.
        precision = self.evaluation.eval["precision"][..., 0, -1]
        values = np.where(precision < 0, np.nan, 100 * precision)
        by_overlap = values.mean(axis=1)
        categories = np.stack([by_overlap[0], by_overlap.mean(axis=0)], axis=1)
        known = ~np.isnan(categories[:, 0])
        means = categories[known].mean(axis=0) if known.any() else np.full(2, np.nan)
        return Precisions(float(means[0]), float(means[1]), categories)


def judge(photos: Sequence[Photo], found: Sequence[Found], categories: int) -> Judged:
    """Matches detections to objects. Boxes of crowds are no objects; what is found inside them is not counted.

    Args:
        photos: the images, with their objects.
        found: what was found in each; at most the 100 best of a category count, as in COCO.
        categories: their number.

    Raises:
        MissingExtraError: pycocotools is not installed.
    """
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        raise MissingExtraError("COCO's metric", "pycocotools", "detection") from error
    objects = [
        {**_entry(number, box, label), "iscrowd": int(crowd), "ignore": int(crowd)}
        for number, photo in enumerate(photos)
        for box, label, crowd in zip(photo.boxes.tolist(), photo.labels.tolist(), photo.crowd.tolist(), strict=True)
    ]
    detections = [
        {**_entry(number, box, label), "iscrowd": 0, "score": score}
        for number, entry in enumerate(found)
        for box, score, label in zip(entry.boxes.tolist(), entry.scores.tolist(), entry.labels.tolist(), strict=True)
    ]
    # pycocotools prints how far it is.
    with contextlib.redirect_stdout(io.StringIO()):
        indexed = []
        for entries in (objects, detections):
            index = COCO()
            index.dataset = {
                "images": [{"id": number} for number in range(len(photos))],
                "categories": [{"id": place} for place in range(categories)],
                # Matches are kept as numbers, 0 means none.
                "annotations": [{**entry, "id": number} for number, entry in enumerate(entries, start=1)],
            }
            index.createIndex()
            indexed.append(index)
        evaluation = COCOeval(*indexed, iouType="bbox")
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.evaluate()
    return Judged(tuple(photo.name for photo in photos), evaluation)


def _entry(image: int, box: Sequence[float], label: int) -> dict[str, Any]:
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    return {"image_id": image, "category_id": label, "bbox": [left, top, width, height], "area": width * height}
