"""Of boxes that overlap too far and have one label, the best stays."""

import torch
from torch import Tensor

from slrprune.tasks.coco.boxes import overlaps
from slrprune.tasks.coco.system import Detections


def suppress(boxes: Tensor, scores: Tensor, labels: Tensor, threshold: float) -> Tensor:
    """Indices of the boxes that stay, best first: each removes those below it of its label that overlap it too far.

    A removed box removes nothing. That is decided for all boxes at once: a box stays where no box above it that stays
    overlaps it, which is asked again with each answer until the answer is the same. The first k boxes are right after
    k rounds, so that this ends with what the search one by one finds, mostly after a few rounds.

    Args:
        boxes: float32 (n, 4); a table of n by n is made.
        scores: (n,); of equal scores the earlier box counts as the better one.
        labels: int64 (n,).
        threshold: largest intersection over union that two boxes may keep, in [0, 1].

    Reference:
        Z. Zheng et al., "Enhancing geometric factors in model learning and inference", IEEE T-Cybernetics 2021.
    """
    order = torch.argsort(scores, descending=True, stable=True)
    boxes, labels = boxes[order], labels[order]
    too_far = (overlaps(boxes, boxes) > threshold) & (labels[:, None] == labels[None])
    above = torch.triu(too_far, diagonal=1).float()
    alive = torch.ones(len(order), device=boxes.device)
    while True:
        left = (alive @ above == 0).float()
        if torch.equal(left, alive):
            return order[alive > 0]
        alive = left


def best_detections(
    boxes: Tensor, scores: Tensor, *, threshold: float, lowest: float, candidates: int = 1000, most: int = 100
) -> Detections:
    """The detections of one image, from every box with its score for every category; one box may show several.

    Args:
        boxes: float32 (n, 4).
        scores: float32 (n, classes), in [0, 1].
        threshold: see `suppress`.
        lowest: score below which a box is none.
        candidates: how many of the best go into the suppression.
        most: how many may stay.
    """
    flat = scores.reshape(-1)
    found = torch.nonzero(flat >= lowest)[:, 0]
    found = found[torch.argsort(flat[found], descending=True, stable=True)[:candidates]]
    places, labels = found // scores.shape[1], found % scores.shape[1]
    kept = suppress(boxes[places], flat[found], labels, threshold)[:most]
    return Detections(boxes[places[kept]], flat[found[kept]], labels[kept])
