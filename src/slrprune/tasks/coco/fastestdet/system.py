"""Detection by FastestDet."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from slrprune.errors import ArgumentError
from slrprune.tasks.coco.fastestdet.decode import cells, decode
from slrprune.tasks.coco.fastestdet.loss import batch_loss
from slrprune.tasks.coco.fastestdet.network import FastestDet
from slrprune.tasks.coco.suppress import best_detections
from slrprune.tasks.coco.system import Detections, DetectionSystem, Objects

PUBLISHED_SIZE = (352, 352)

OVERLAP = 0.45
"""Overlap above which the worse of two boxes of one category goes, as published."""

LOWEST = 0.01
"""Score below which nothing is reported; so low since the metric looks at all scores."""

_STEP = 32
_CATEGORIES = "detect_head.cls_layers.conv5x5."


class FastestDetSystem(DetectionSystem):
    """FastestDet; it takes the published weights, those of 80 categories for any number of them.

    Args:
        size: height and width of the input, multiples of 32; None takes 352 x 352.
        classes: number of categories.

    Raises:
        ArgumentError: a size that is no multiple of 32.
    """

    def __init__(self, size: tuple[int, int] | None, classes: int) -> None:
        size = PUBLISHED_SIZE if size is None else size
        if any(side < _STEP or side % _STEP for side in size):
            raise ArgumentError("fastestdet", "size", size, f"must be positive multiples of {_STEP}")
        super().__init__("fastestdet", size, classes)

    def network(self) -> nn.Module:
        """See `DetectionSystem.network`."""
        return FastestDet(self.classes)

    def load(self, model: nn.Module, state: Mapping[str, Tensor]) -> None:
        """Takes weights; the last layer of the categories stays fresh where the file's has another number of them.

        Raises:
            RuntimeError: names or shapes that are not the network's.
        """
        own = model.state_dict()
        last = {name for name in own if name.startswith((f"{_CATEGORIES}3.", f"{_CATEGORIES}4."))}
        merged = dict(state)
        for name in sorted(last & merged.keys()):
            if merged[name].shape != own[name].shape:
                merged.update({layer: own[layer] for layer in last})
                break
        model.load_state_dict(merged)

    def loss(self, model: nn.Module, images: Tensor, objects: Sequence[Objects]) -> Tensor:
        """See `DetectionSystem.loss`."""
        return batch_loss(_numbers(model, images), objects, self.size)

    @torch.no_grad()
    def detect(self, model: nn.Module, images: Tensor) -> list[Detections]:
        """See `DetectionSystem.detect`. A score is object^0.6 times category^0.4, as published."""
        numbers = _numbers(model, images)
        boxes = decode(numbers[..., 1:5], cells(self.size, numbers.device), self.size)
        scores = torch.sigmoid(numbers[..., :1]).pow(0.6) * torch.softmax(numbers[..., 5:], -1).pow(0.4)
        return [
            best_detections(own, chances, threshold=OVERLAP, lowest=LOWEST)
            for own, chances in zip(boxes, scores, strict=True)
        ]


def _numbers(model: nn.Module, images: Tensor) -> Tensor:
    """What the network says of each cell, float32 (n, cells, 5 + classes)."""
    # The published weights are those of an OpenCV program, whose images are blue, green, red.
    return model(images.flip(1)).float().flatten(2).transpose(1, 2)  # type: ignore[no-any-return]
