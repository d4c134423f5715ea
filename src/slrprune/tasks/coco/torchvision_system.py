"""Detectors of torchvision, with its own losses and its own way of reading the outputs."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from slrprune.errors import ArgumentError, suggestion
from slrprune.tasks.coco.partial_weights import load_fitting
from slrprune.tasks.coco.system import Detections, DetectionSystem, Objects
from slrprune.tasks.coco.torchvision_models import torchvision_models

MOST = 100
"""Objects reported for one image."""


class TorchvisionSystem(DetectionSystem):
    """One detector of torchvision, from random weights; its published ones may be given as a file to start from.

    Args:
        model: name of a detector in `torchvision.models.detection` that learns from boxes alone, for example
            "ssdlite320_mobilenet_v3_large" or "retinanet_resnet50_fpn".
        size: height and width of the input; None takes the published ones, which for networks without one size are
            the smaller and the larger side that images are scaled to.
        classes: number of categories; the background, which torchvision counts as one, is added.

    Raises:
        ArgumentError: torchvision has no such detector.
        MissingExtraError: torchvision is not installed.
    """

    def __init__(self, model: str, size: tuple[int, int] | None, classes: int) -> None:
        names = _names()
        if model not in names:
            rule = "must be a detector of torchvision that learns from boxes alone"
            way_out = suggestion(model, names, "The closest is {}.") or f"There are {', '.join(names)}."
            raise ArgumentError("torchvision", "model", model, rule, way_out)
        self.model = model
        super().__init__(model, _published_size(model) if size is None else size, classes)

    def network(self) -> nn.Module:
        """torchvision's network, which takes the whole input as it is and normalizes it itself.

        In training mode it wants torchvision's targets beside the images and returns losses; in evaluation mode it
        returns a dictionary for each image.
        """
        model: Any = _built(self.model, self.classes + 1)
        height, width = self.size
        # The input has its size already; this keeps torchvision from choosing another one.
        model.transform.min_size, model.transform.max_size = (min(self.size),), max(self.size)
        model.transform.fixed_size = (width, height)
        network: nn.Module = model
        return network

    def load(self, model: nn.Module, state: Mapping[str, Tensor]) -> None:
        """Published weights, for example; those of a head for other categories stay as they are in `model`."""
        load_fitting(model, state)

    def loss(self, model: nn.Module, images: Tensor, objects: Sequence[Objects]) -> Tensor:
        """The sum of the network's own losses."""
        targets = [{"boxes": entry.boxes, "labels": entry.labels + 1} for entry in objects]
        losses = model(list(images), targets)
        return torch.stack([loss.float() for loss in losses.values()]).sum()

    @torch.no_grad()
    def detect(self, model: nn.Module, images: Tensor) -> list[Detections]:
        """What the network reports, above its own lowest score; see `DetectionSystem.detect`."""
        return [_detections(found) for found in model(list(images))]


def _names() -> tuple[str, ...]:
    models = torchvision_models("A detector of torchvision")
    names = models.list_models(module=models.detection)
    # These two learn from outlines and joints, too.
    return tuple(name for name in names if not name.startswith(("maskrcnn", "keypointrcnn")))


def _built(model: str, classes: int) -> Any:
    models = torchvision_models("A detector of torchvision")
    return models.get_model(model, weights=None, weights_backbone=None, num_classes=classes)


def _published_size(model: str) -> tuple[int, int]:
    with torch.device("meta"):
        transform = _built(model, 2).transform
    if transform.fixed_size is not None:
        width, height = transform.fixed_size
        return height, width
    return min(transform.min_size), transform.max_size


def _detections(found: Mapping[str, Tensor]) -> Detections:
    order = found["scores"].argsort(descending=True, stable=True)[:MOST]
    return Detections(found["boxes"][order].float(), found["scores"][order].float(), found["labels"][order] - 1)
