"""Detection by YOLOv3 and its relatives."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from slrprune.errors import ArgumentError
from slrprune.tasks.coco.partial_weights import load_fitting
from slrprune.tasks.coco.suppress import best_detections
from slrprune.tasks.coco.system import Detections, DetectionSystem, Objects
from slrprune.tasks.coco.yolo.anchor_boxes import AnchorBoxes, anchors_in
from slrprune.tasks.coco.yolo.anchors import fit_anchors
from slrprune.tasks.coco.yolo.box_loss import BoxLoss, CompleteIoU
from slrprune.tasks.coco.yolo.design import Design
from slrprune.tasks.coco.yolo.loss import YoloLoss
from slrprune.tasks.coco.yolo.places import all_places, decode, in_a_row

COCO_CLASSES = 80
"""Categories of COCO, whose anchors the published ones are."""

OVERLAP = 0.45
"""Overlap above which the worse of two boxes of one category goes; that of the authors' program."""

LOWEST = 0.001
"""Score below which nothing is reported; so low since the metric looks at all scores."""

PRIOR = 0.01
"""What a new network says of every place: the chance that it holds an object (Lin et al., ICCV 2017, section 3.3)."""


_ANCHORS = "anchors"


class Yolo(DetectionSystem):
    """One network of the family.

    Loss and detections go by the anchors inside the network, which come with its weights.

    Args:
        design: which.
        size: height and width of the input, multiples of 32; None takes the published ones.
        classes: number of categories.
        anchors: of new networks, widths and heights in pixels of this input, float32 (maps, anchors of each, 2), the
            coarsest map first; None takes the published ones, scaled to this input.
        box_loss: None takes `CompleteIoU`.
        box_weight: weight of the boxes' loss beside those of objects and categories.

    Raises:
        ArgumentError: a size that is no multiple of the largest stride.
    """

    def __init__(
        self,
        design: Design,
        size: tuple[int, int] | None,
        classes: int,
        *,
        anchors: Tensor | None = None,
        box_loss: BoxLoss | None = None,
        box_weight: float = 5.0,
    ) -> None:
        size = design.size if size is None else size
        step = max(design.strides)
        if any(side < step or side % step for side in size):
            raise ArgumentError(design.name, "size", size, f"must be positive multiples of {step}")
        super().__init__(design.name, size, classes)
        self.design = design
        self.anchors = self._published() if anchors is None else anchors
        self.objective = YoloLoss(box_loss or CompleteIoU(), box_weight)

    def fitted(self, sizes: Tensor) -> "Yolo":
        """One with anchors for these boxes; itself for 80 categories, since the published anchors are those of COCO."""
        if self.classes == COCO_CLASSES or not len(sizes):
            return self
        maps, count, _ = self.anchors.shape
        # The largest belong to the coarsest map, which comes first.
        anchors = fit_anchors(sizes, maps * count).reshape(maps, count, 2).flip(0)
        return Yolo(
            self.design,
            self.size,
            self.classes,
            anchors=anchors,
            box_loss=self.objective.box_loss,
            box_weight=self.objective.box_weight,
        )

    def network(self) -> nn.Module:
        """See `DetectionSystem.network`; its anchors are the buffer `anchors.sizes`."""
        count = self.anchors.shape[1]
        model = self.design.build(count * (5 + self.classes))
        for module in model.modules():
            if isinstance(module, nn.Conv2d) and module.bias is not None:
                _quiet(module, count)
        model.add_module(_ANCHORS, AnchorBoxes(self.anchors))
        return model

    def load(self, model: nn.Module, state: Mapping[str, Tensor]) -> None:
        """Takes weights; the last layers of the heads stay fresh where the file's are for other categories.

        Anchors belong to the heads: fresh ones keep those of `model`, as do all where the file has no anchors.

        Raises:
            RuntimeError: the weights are another network's.
        """
        own, name = model.state_dict(), f"{_ANCHORS}.sizes"
        is_whole = name in state and all(known in own and state[known].shape == own[known].shape for known in state)
        load_fitting(model, dict(state) if is_whole else {**state, name: own[name]})

    def loss(self, model: nn.Module, images: Tensor, objects: Sequence[Objects]) -> Tensor:
        """See `DetectionSystem.loss`."""
        numbers, anchors = self._numbers(model, images), self._anchors(model, images.device)
        places = all_places(self.size, self.design.strides, anchors)
        return self.objective(numbers, objects, places, size=self.size, strides=self.design.strides, anchors=anchors)

    @torch.no_grad()
    def detect(self, model: nn.Module, images: Tensor) -> list[Detections]:
        """See `DetectionSystem.detect`. A score is the chance of an object times that of the category."""
        numbers = self._numbers(model, images)
        places = all_places(self.size, self.design.strides, self._anchors(model, images.device))
        boxes = decode(numbers[..., :4], places)
        scores = torch.sigmoid(numbers[..., 4:5]) * torch.sigmoid(numbers[..., 5:])
        return [
            best_detections(own, chances, threshold=OVERLAP, lowest=LOWEST)
            for own, chances in zip(boxes, scores, strict=True)
        ]

    def _numbers(self, model: nn.Module, images: Tensor) -> Tensor:
        # The convolutions of CPUs are faster on channels last.
        maps = model(images.contiguous(memory_format=torch.channels_last))
        # Sums over thousands of places and exponentials need float32, whatever autocast made of the maps.
        return in_a_row(maps, self.anchors.shape[1]).float()

    def _anchors(self, model: nn.Module, device: torch.device) -> Tensor:
        """Those of the model, in float32 whatever its own type; this system's for a model without any."""
        found = anchors_in(model)
        return (self.anchors if found is None else found).to(device, torch.float32)

    def _published(self) -> Tensor:
        scale = torch.tensor([self.size[1] / self.design.size[1], self.size[0] / self.design.size[0]])
        return torch.tensor(self.design.anchors) * scale


def _quiet(head: nn.Conv2d, count: int) -> None:
    """Begins with the anchors themselves as boxes, few of them objects."""
    assert head.bias is not None
    nn.init.normal_(head.weight, std=0.01)
    nn.init.zeros_(head.bias)
    with torch.no_grad():
        head.bias.view(count, -1)[:, 4].fill_(-math.log((1 - PRIOR) / PRIOR))
