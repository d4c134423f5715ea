"""Detectors of transformers such as DETR, YOLOS, Deformable DETR and RT-DETR, with their own losses."""

from collections.abc import Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from slrprune.errors import DataError, MissingExtraError
from slrprune.tasks.coco.partial_weights import load_fitting
from slrprune.tasks.coco.system import Detections, DetectionSystem, Objects
from slrprune.tasks.hub_files import loaded

MOST = 100
"""Objects reported for one image."""

USUAL_SIZE = (800, 1333)
"""Height and width where the configuration names none: the sides that DETR scales images to."""

MEAN = (0.485, 0.456, 0.406)
"""Mean of red, green and blue where the model names none: that of ImageNet, as DETR and YOLOS want it."""

STD = (0.229, 0.224, 0.225)
"""Standard deviations that go with `MEAN`."""

WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
"""Files by which a folder is known to hold weights."""


class Answers(NamedTuple):
    """What a network says of a batch.

    Attributes:
        logits: of the categories for each of its queries, float32 (n, q, c), or with one more for "no object".
        boxes: center x, center y, width, height as fractions of the input, float32 (n, q, 4).
    """

    logits: Tensor
    boxes: Tensor


class TransformersDetector(nn.Module):
    """A detector of transformers that takes images in [0, 1].

    Args:
        detector: the model.
        mean: of red, green and blue, subtracted.
        std: their standard deviations, divided by.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, detector: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.detector = detector
        self.register_buffer("mean", torch.tensor(mean).reshape(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).reshape(3, 1, 1), persistent=False)

    def forward(self, images: Tensor, labels: list[dict[str, Tensor]] | None = None) -> Answers | Tensor:
        """Answers for images float32 (n, 3, height, width); with labels the model's own loss in their place.

        Both go through one call, so that what wraps the module, for several processes or mixed precision, sees it.
        """
        pixels = (images - self.mean) / self.std
        if labels is not None:
            return self.detector(pixel_values=pixels, labels=labels).loss  # type: ignore[no-any-return]
        outputs = self.detector(pixel_values=pixels)
        return Answers(outputs.logits, outputs.pred_boxes)


class TransformersSystem(DetectionSystem):
    """Any model of `AutoModelForObjectDetection`.

    Args:
        model: name on the Hugging Face hub, whose weights are downloaded, or a folder; from a folder that holds a
            configuration but no weights the network starts from random ones.
        size: height and width of the input; None takes those of the configuration.
        classes: number of categories; a head for others is replaced.

    Raises:
        DataError: there is no such model.
        MissingExtraError: transformers is not installed.
    """

    def __init__(self, model: str, size: tuple[int, int] | None, classes: int) -> None:
        self.model = model
        config = _config(model, classes)
        if size is None:
            sides = getattr(config, "image_size", None) or USUAL_SIZE
            size = (sides, sides) if isinstance(sides, int) else (int(sides[0]), int(sides[1]))
        super().__init__(PurePath(model).name, size, classes)

    def network(self) -> nn.Module:
        """A `TransformersDetector`.

        Raises:
            DataError: its weights are damaged.
        """
        auto = _transformers().AutoModelForObjectDetection
        config = _config(self.model, self.classes)
        if _is_bare(self.model):
            detector = auto.from_config(config)
        else:
            load = partial(auto.from_pretrained, config=config, ignore_mismatched_sizes=True)
            detector = loaded("coco", load, self.model)
        return TransformersDetector(detector, *_normalization(self.model))

    def load(self, model: nn.Module, state: Mapping[str, Tensor]) -> None:
        """Those of a head for other categories stay as they are in `model`."""
        load_fitting(model, state)

    def loss(self, model: nn.Module, images: Tensor, objects: Sequence[Objects]) -> Tensor:
        """The model's own loss; DETR's matching needs scipy."""
        loss: Tensor = model(images, [self._labels(entry) for entry in objects])
        return loss.float()

    @torch.no_grad()
    def detect(self, model: nn.Module, images: Tensor) -> list[Detections]:
        """The best pairs of query and category; where "no object" is a category of its own, one of each query."""
        answers: Answers = model(images)
        return [
            self._detections(logits.float(), boxes.float())
            for logits, boxes in zip(answers.logits, answers.boxes, strict=True)
        ]

    def _labels(self, entry: Objects) -> dict[str, Tensor]:
        height, width = self.size
        left, top, right, bottom = entry.boxes.unbind(1)
        centers = ((left + right) / 2 / width, (top + bottom) / 2 / height)
        boxes = torch.stack([*centers, (right - left) / width, (bottom - top) / height], dim=1)
        return {"class_labels": entry.labels, "boxes": boxes}

    def _detections(self, logits: Tensor, boxes: Tensor) -> Detections:
        if logits.shape[1] > self.classes:  # the last one is "no object"
            scores, labels = logits.softmax(1)[:, : self.classes].max(1)
            scores, order = scores.sort(descending=True, stable=True)
            scores, queries, labels = scores[:MOST], order[:MOST], labels[order[:MOST]]
        else:
            scores, order = logits.sigmoid().flatten().sort(descending=True, stable=True)
            scores, order = scores[:MOST], order[:MOST]
            queries, labels = order // self.classes, order % self.classes
        height, width = self.size
        x, y, across, down = boxes[queries].unbind(1)
        corners = torch.stack([x - across / 2, y - down / 2, x + across / 2, y + down / 2], dim=1)
        return Detections(corners * corners.new_tensor([width, height, width, height]), scores, labels)


def _transformers() -> Any:
    if find_spec("transformers") is None:
        raise MissingExtraError("A detector of transformers", "transformers", "transformers")
    import transformers

    return transformers


def _config(model: str, classes: int) -> Any:
    try:
        return _transformers().AutoConfig.from_pretrained(model, num_labels=classes)
    except (OSError, ValueError) as error:
        raise DataError("transformers", f"there is no model {model}", "Give a name on the hub, or a folder.") from error


def _is_bare(model: str) -> bool:
    """Whether it is a folder without weights."""
    folder = Path(model)
    return folder.is_dir() and not any((folder / name).is_file() for name in WEIGHTS)


def _normalization(model: str) -> tuple[Sequence[float], Sequence[float]]:
    """Mean and standard deviation that the model wants, of pixels in [0, 1]."""
    from transformers.image_processing_base import ImageProcessingMixin

    try:
        settings, _ = ImageProcessingMixin.get_image_processor_dict(model)
    except OSError:
        return MEAN, STD
    if not settings.get("do_normalize", True):
        return (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    return settings.get("image_mean") or MEAN, settings.get("image_std") or STD
