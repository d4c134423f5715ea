"""The training loss of YOLOv3."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from slrprune.tasks.coco.gathered import gathered
from slrprune.tasks.coco.object_count import mean_object_count
from slrprune.tasks.coco.system import Objects
from slrprune.tasks.coco.yolo.assign import assign, is_first, silent
from slrprune.tasks.coco.yolo.box_loss import BoxLoss
from slrprune.tasks.coco.yolo.places import Places, decode

IGNORE = 0.5
"""Overlap with an object above which a place that does not answer for it is not called wrong (the paper's)."""


class Answers(NamedTuple):
    """What the network says of each object of a batch, at the place that answers for it.

    Attributes:
        numbers: float32 (k, 5 + classes).
        boxes: what is right, float32 (k, 4).
        labels: int64 (k,).
        counts: false where an object before has the same place, bool (k,).
    """

    numbers: Tensor
    boxes: Tensor
    labels: Tensor
    counts: Tensor


class YoloLoss:
    """Boxes, objects and categories of a batch, each summed over its places and divided by the number of objects.

    The paper sums over a batch of fixed size. Divided by the number of objects, the learning rate means the same for
    images with one object and with thirty; several processes divide by their mean number. Nothing is copied between
    host and device, and nothing waits for it: what does not count has the weight 0.

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
        every, (count, width) = gathered(objects), numbers.shape[:2]
        own = assign(every.boxes, size, strides, anchors)
        flat = every.images * width + own
        total = self._objectness(numbers, objects, flat, places)
        answers = Answers(numbers.flatten(0, 1)[flat], every.boxes, every.labels, is_first(flat, count * width))
        total = total + self._found(answers, places.at(own), size)
        return total / mean_object_count(len(every.labels), numbers.device)

    def _objectness(self, numbers: Tensor, objects: Sequence[Objects], flat: Tensor, places: Places) -> Tensor:
        """Every place says whether it answers for an object; near misses are left out."""
        with torch.no_grad():
            boxes = decode(numbers[..., :4], places)
            # By image: overlaps of all places with all objects of a batch would take its size times the memory.
            asked = torch.stack(
                [~silent(found, seen.boxes, IGNORE) for found, seen in zip(boxes, objects, strict=True)]
            ).to(numbers.dtype)
            right = torch.zeros_like(asked)
            for tensor in (asked, right):
                tensor.view(-1).index_fill_(0, flat, 1)
        return F.binary_cross_entropy_with_logits(numbers[..., 4], right, weight=asked, reduction="sum")

    def _found(self, answers: Answers, places: Places, size: tuple[int, int]) -> Tensor:
        """Boxes and categories of the places that answer. A category is a yes or no of its own, as in the paper."""
        numbers, weight = answers.numbers, answers.counts.to(answers.numbers.dtype)
        boxes = self.box_loss(numbers[:, :4], answers.boxes, places, size)
        classes = torch.arange(numbers.shape[1] - 5, device=numbers.device)
        right = (answers.labels[:, None] == classes).to(numbers.dtype)
        categories = F.binary_cross_entropy_with_logits(numbers[:, 5:], right, reduction="none").sum(1)
        return ((self.box_weight * boxes + categories) * weight).sum()
