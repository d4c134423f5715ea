"""The training loss of YOLOv3."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from slrprune.tasks.coco.system import Objects
from slrprune.tasks.coco.yolo.assign import Answers, assign, silent
from slrprune.tasks.coco.yolo.box_loss import BoxLoss
from slrprune.tasks.coco.yolo.places import Places, decode

IGNORE = 0.5
"""Overlap with an object above which a place that does not answer for it is not called wrong (the paper's)."""


class YoloLoss:
    """Boxes, objects and categories of a batch, each summed over its places and divided by the number of objects.

    The paper sums over a batch of fixed size. Divided by the number of objects, the learning rate means the same for
    images with one object and with thirty.

    Args:
        box_loss: how wrong a box is.
        box_weight: of the boxes' part beside the other two, positive.

    Reference:
        J. Redmon, A. Farhadi, "YOLOv3: an incremental improvement", 2018, sections 2.1 and 2.2.
    """

    def __init__(self, box_loss: BoxLoss, box_weight: float) -> None:
        self.box_loss = box_loss
        self.box_weight = box_weight

    def __call__(
        self,
        numbers: Tensor,
        objects: Sequence[Objects],
        places: Places,
        *,
        size: tuple[int, int],
        strides: Sequence[int],
        anchors: Tensor,
    ) -> Tensor:
        """The loss, a float32 scalar.

        Args:
            numbers: of the network, by places, float32 (n, N, 5 + classes): box, object, categories.
            objects: of each image.
            places: N of them.
            size: height and width of the images, pixels.
            strides: of each output map.
            anchors: float32 (maps, anchors of each, 2).
        """
        total = numbers.new_zeros(())
        for own, seen in zip(numbers, objects, strict=True):
            answers = assign(seen, size, strides, anchors)
            total = total + self._objectness(own, seen, answers, places)
            if len(answers.places):
                total = total + self._found(own[answers.places], answers, places.at(answers.places), size)
        return total / max(1, sum(len(seen.labels) for seen in objects))

    def _objectness(self, numbers: Tensor, seen: Objects, answers: Answers, places: Places) -> Tensor:
        """Every place says whether it answers for an object; near misses are left out."""
        with torch.no_grad():
            asked = ~silent(decode(numbers[:, :4], places), seen.boxes, IGNORE)
            asked[answers.places] = True
            right = torch.zeros_like(numbers[:, 4])
            right[answers.places] = 1
        return F.binary_cross_entropy_with_logits(numbers[asked, 4], right[asked], reduction="sum")

    def _found(self, numbers: Tensor, answers: Answers, places: Places, size: tuple[int, int]) -> Tensor:
        """Boxes and categories of the places that answer. A category is a yes or no of its own, as in the paper."""
        boxes = self.box_loss(numbers[:, :4], answers.boxes, places, size).sum()
        classes = F.one_hot(answers.labels, numbers.shape[1] - 5).to(numbers.dtype)
        categories = F.binary_cross_entropy_with_logits(numbers[:, 5:], classes, reduction="sum")
        return self.box_weight * boxes + categories
