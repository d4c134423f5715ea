"""Objects and detections for the metric, without any image."""

from pathlib import Path

import numpy as np

from slrprune.tasks.coco.annotations import Photo
from slrprune.tasks.coco.metric import Found


def photo(boxes, labels, crowd=None, size=(200, 200), name="a.jpg"):
    crowd = [False] * len(labels) if crowd is None else crowd
    boxes = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    return Photo(Path(name), name, size, boxes, np.array(labels, dtype=np.int64), np.array(crowd, dtype=np.bool_))


def found(boxes, scores, labels):
    boxes = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    return Found(boxes, np.array(scores, dtype=np.float64), np.array(labels, dtype=np.int64))


def random_case(rng, images=12, categories=3):
    """Objects, and detections near them, next to nothing, or of the wrong category.

    The first image is empty. Scores are equal between images often, inside an image never.
    """
    objects, answers = [], []
    for number in range(images):
        count = int(rng.integers(0, 7)) if number else 0
        corners = rng.uniform(0, 150, (count, 2))
        boxes = np.concatenate([corners, corners + rng.uniform(5, 50, (count, 2))], axis=1)
        labels = rng.integers(0, categories, count)
        objects.append(photo(boxes, labels, rng.random(count) < 0.15, name=f"{number}.jpg"))
        near = np.sort((boxes + rng.normal(0, 4, boxes.shape)).reshape(-1, 2, 2), axis=1).reshape(-1, 4)
        near = np.concatenate([near, [[0, 0, 30, 30], [60, 60, 90, 99]]])
        guessed = np.where(rng.random(count + 2) < 0.8, np.append(labels, [0, 1]), 2)
        answers.append(found(near, rng.permutation(9)[: count + 2] / 10, guessed))
    return objects, answers
