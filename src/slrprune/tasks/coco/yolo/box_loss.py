"""How wrong a predicted box is."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from slrprune.tasks.coco.boxes import areas, complete_overlaps
from slrprune.tasks.coco.yolo.places import Places, decode, encode


class BoxLoss(ABC):
    """The loss of boxes, one by one."""

    @abstractmethod
    def __call__(self, numbers: Tensor, boxes: Tensor, places: Places, size: tuple[int, int]) -> Tensor:
        """A loss for each box, float32 (k,), at least 0.

        Args:
            numbers: what the network says, float32 (k, 4).
            boxes: what is right, float32 (k, 4), pixels.
            places: where, k of them.
            size: height and width of the image, pixels.
        """


class CompleteIoU(BoxLoss):
    """1 minus the complete IoU; see `boxes.complete_overlaps`."""

    def __call__(self, numbers: Tensor, boxes: Tensor, places: Places, size: tuple[int, int]) -> Tensor:
        """See `BoxLoss`."""
        return 1 - complete_overlaps(decode(numbers, places), boxes)


class SquaredError(BoxLoss):
    """Half the squared error of the center inside its cell and of the logarithmic size; small boxes weigh up to twice.

    Reference:
        J. Redmon, A. Farhadi, "YOLOv3: an incremental improvement", 2018, section 2.1; the weight of 2 minus the
        box's part of the image is that of the authors' program.
    """

    def __call__(self, numbers: Tensor, boxes: Tensor, places: Places, size: tuple[int, int]) -> Tensor:
        """See `BoxLoss`."""
        right = encode(boxes, places)
        center = torch.sigmoid(numbers[:, :2]) - torch.sigmoid(right[:, :2])
        error = center.square().sum(1) + (numbers[:, 2:] - right[:, 2:]).square().sum(1)
        return 0.5 * (2 - areas(boxes) / (size[0] * size[1])) * error
