"""From the network's outputs to detections as KITTI judges them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from slrprune.tasks.kitti import coder
from slrprune.tasks.kitti.boxes import camera_boxes, image_boxes
from slrprune.tasks.kitti.calibration import Calibration
from slrprune.tasks.kitti.network import Outputs
from slrprune.tasks.kitti.suppress import suppress

CANDIDATES = 1000
"""Boxes of each class that go into the suppression, the best ones."""

MOST = 300
"""Detections of each class that a scan may have."""

SCORE = 0.05
"""Least score of a detection."""

OVERLAP = 0.5
"""Largest overlap seen from above that two detections of a class may have (paper, section 4.1)."""


@dataclass(frozen=True)
class Detections:
    """What was found in one frame, n objects.

    Attributes:
        kinds: number of the class, int64 (n,).
        scores: in [0, 1], float64 (n,).
        boxes: in the scanner's coordinates, float64 (n, 7), see `boxes`.
        image_boxes: left, top, right, bottom in pixels, float64 (n, 4).
    """

    kinds: NDArray[np.int64]
    scores: NDArray[np.float64]
    boxes: NDArray[np.float64]
    image_boxes: NDArray[np.float64]


def detections(outputs: Outputs, anchors: Tensor, calibration: Calibration, image_size: tuple[int, int]) -> Detections:
    """The detections of one scan: decoded, the overlapping ones suppressed, those that the camera cannot see dropped.

    Args:
        outputs: of one scan: logits (A, classes), boxes (A, 7), directions (A, 2).
        anchors: (A, 7).
        calibration: of the frame.
        image_size: width and height in pixels.
    """
    found = [_of_class(outputs, anchors, number) for number in range(outputs.logits.shape[1])]
    kinds = np.concatenate([np.full(len(scores), number) for number, (_, scores) in enumerate(found)])
    boxes = np.concatenate([boxes for boxes, _ in found])
    scores = np.concatenate([scores for _, scores in found])
    seen_boxes, seen = image_boxes(boxes, calibration, image_size)
    return Detections(kinds[seen].astype(np.int64), scores[seen], boxes[seen], seen_boxes[seen])


def _of_class(outputs: Outputs, anchors: Tensor, number: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Boxes (n, 7) and scores (n,) of one class."""
    scores, best = outputs.logits[:, number].sigmoid().topk(min(CANDIDATES, len(anchors)))
    directions = outputs.directions[best].argmax(dim=1)
    boxes = coder.decode(outputs.boxes[best], anchors[best], directions).cpu().double().numpy()
    high = scores.cpu().double().numpy()
    usable = (high >= SCORE) & np.isfinite(boxes).all(axis=1)
    boxes, high = boxes[usable], high[usable]
    kept = suppress(boxes, high, threshold=OVERLAP, most=MOST)
    return boxes[kept], high[kept]


def detection_lines(found: Detections, classes: tuple[str, ...], calibration: Calibration) -> list[str]:
    """The lines of a KITTI result file, for the official evaluation and its server.

    Truncation and occlusion are -1; alpha is the rotation seen from the camera, rotation - atan2(x, z).
    """
    lines = []
    in_camera = camera_boxes(found.boxes, calibration)
    for kind, score, pixels, box in zip(found.kinds, found.scores, found.image_boxes, in_camera, strict=True):
        x, y, z, height, width, length, rotation = box
        alpha = rotation - np.arctan2(x, z)
        numbers = [alpha, *pixels, height, width, length, x, y, z, rotation, score]
        lines.append(" ".join([classes[kind], "-1", "-1", *(f"{value:.4f}" for value in numbers)]))
    return lines


def of_scan(outputs: Outputs, number: int) -> Outputs:
    """The outputs of one scan of a batch."""
    return Outputs(*(part[number] for part in outputs))
