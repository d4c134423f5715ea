"""Non-maximum suppression of rotated boxes."""

import numpy as np
from numpy.typing import NDArray

from slrprune.tasks.kitti.overlap import overlaps_from_above


def suppress(
    boxes: NDArray[np.float64], scores: NDArray[np.float64], *, threshold: float, most: int
) -> NDArray[np.int64]:
    """Indices of the boxes that stay, best first: from the top, each removes those below that overlap it too far.

    Args:
        boxes: float64 (n, 7), of one class.
        scores: (n,); of equal scores the earlier box counts as the better one.
        threshold: largest overlap seen from above, as intersection over union, that two boxes may keep.
        most: how many may stay.
    """
    order = np.argsort(-scores, kind="stable")
    too_far = overlaps_from_above(boxes[order], boxes[order]) > threshold
    alive = np.ones(len(order), dtype=bool)
    kept = []
    for rank, index in enumerate(order):
        if not alive[rank]:
            continue
        kept.append(index)
        if len(kept) == most:
            break
        alive &= ~too_far[rank]
    return np.array(kept, dtype=np.int64)
