"""Objects in photographs: data sets in COCO's format, with any network that detects."""

from collections.abc import Mapping, Sequence
from os import PathLike
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor, nn

from slrprune.errors import ArgumentError, StateError
from slrprune.tasks.base import Batch, Split, evaluating
from slrprune.tasks.coco.annotations import Photo
from slrprune.tasks.coco.augment import Augmentation, augmentation_named
from slrprune.tasks.coco.folder import read_folder
from slrprune.tasks.coco.input_size import input_size
from slrprune.tasks.coco.metric import Found, Judged, Precisions, judge
from slrprune.tasks.coco.placement import letterbox
from slrprune.tasks.coco.source import CocoSource
from slrprune.tasks.coco.system import Detections
from slrprune.tasks.coco.systems import system_named
from slrprune.tasks.complaints import Complaints
from slrprune.tasks.data_folder import data_folder
from slrprune.tasks.disk_task import DiskTask
from slrprune.tasks.recipe import AdamWRecipe
from slrprune.tasks.weights_file import WeightsFile, load_checkpoint

METRICS = MappingProxyType({"mAP50": "mAP@0.5", "mAP50-95": "mAP@0.5:0.95"})
"""What `evaluate` may return: the option's value, and the name in records."""


class Coco(DiskTask[CocoSource]):
    """Objects in photographs; needs COCO, or another data set in its format.

    The metric is the mean average precision as pycocotools computes it. With COCO's own folders the split "test" is
    `val2017`, since the labels of its test set are not public, and "val", for choices, is held out of the training
    images; a folder with three annotation files has all three splits.

    Args:
        data: the folder; `slrprune.tasks.coco.folder` knows its layouts. None takes the environment variable
            SLRPRUNE_DATA.
        system: "yolov3", "yolov3_tiny", "fastestdet", or "torchvision:NAME" or "transformers:NAME" for a detector of
            these libraries.
        size: height and width of the network's input in pixels, or one number for both; None takes the published ones.
        start: file with weights to start from, a state dict of torch or a safetensors file; the last layers of a head
            for other categories stay fresh. None starts from random ones, or from what the library's detector comes
            with.
        checkpoint: file with weights trained on these categories, for `pretrained`; those of our YOLO with their
            anchors. A file without anchors goes with those of its training split: `data`, `holdout` and `size` must
            then be the same.
        augment: how training images are changed: "photo", "slide" for pictures without an up, each also with
            "_mosaic" behind, or "none"; or an `Augmentation`.
        score: what `evaluate` returns, "mAP50" or "mAP50-95".
        holdout: fraction of the training images held out as "val" where the folder has no file for it, in [0, 1).
        batch_size: of training batches.
        strict: refuse bad input by the name of its file, after reading every file once; otherwise it is skipped and
            counted, see `warnings`.
        workers: processes that load images ahead; 0 loads them in this one.
        device: where batches and models go.
        bf16: run forward passes under bfloat16 autocast.

    Raises:
        ArgumentError: a value out of range.
        DataError: a file or folder is missing, or no image of a split can be used, or `strict` and any bad input.
        MissingExtraError: Pillow is not installed, or the library of the system.

    Reference:
        T.-Y. Lin et al., "Microsoft COCO: common objects in context", ECCV 2014.
    """

    name = "coco"
    unit = "images"
    metric = METRICS["mAP50"]
    dense_recipe = AdamWRecipe(epochs=300, lr=1e-3, weight_decay=5e-4, warmup=0.02)
    pruning_recipe = AdamWRecipe(epochs=40, lr=3e-4, weight_decay=5e-4)

    def __init__(
        self,
        data: str | PathLike[str] | None = None,
        *,
        system: str = "yolov3_tiny",
        size: int | Sequence[int] | None = None,
        start: str | PathLike[str] | None = None,
        checkpoint: str | PathLike[str] | None = None,
        augment: str | Augmentation = "photo",
        score: str = "mAP50",
        holdout: float = 0.05,
        batch_size: int = 16,
        strict: bool = False,
        workers: int = 0,
        device: str | torch.device = "cpu",
        bf16: bool = False,
    ) -> None:
        if score not in METRICS:
            raise ArgumentError("Coco", "score", score, f"must be one of {', '.join(METRICS)}")
        if not 0 <= holdout < 1:
            raise ArgumentError("Coco", "holdout", holdout, "must be in [0, 1)")
        augmentation = augmentation_named(augment)
        self.metric, self.start, self.checkpoint = METRICS[score], WeightsFile.of(start), checkpoint
        complaints = Complaints("Coco", strict)
        splits = read_folder(data_folder("Coco", data), holdout, complaints)
        self.categories = tuple(category.name for category in splits.categories)
        published = system_named(system, None if size is None else input_size("Coco", size), len(self.categories))
        self.system = published.fitted(_sizes(splits.photos["train"], published.size))
        sources = {
            split: CocoSource(photos, self.system.size, augmentation, strict) for split, photos in splits.photos.items()
        }
        super().__init__(sources, complaints, batch_size=batch_size, workers=workers, device=device, bf16=bf16)

    @property
    def model_name(self) -> str:
        """Name of the model in records, for example "yolov3_tiny"."""
        return self.system.name

    def build_model(self) -> nn.Module:
        """The system's network, with the weights of `start` if there are any.

        Raises:
            DataError: the file cannot be read.
            StateError: it belongs to another network.
        """
        model = self.system.network()
        if self.start is not None:
            state = self.start.load()
            try:
                self.system.load(model, state)
            except RuntimeError as error:
                raise StateError("Coco", f"{self.start.path} does not hold weights of {self.system.name}") from error
        return model.to(self.device)

    def pretrained(self) -> nn.Module | None:
        """The network with the weights of `checkpoint`; None without one.

        Raises:
            DataError: the file cannot be read.
            StateError: it belongs to another network, or to a head for other categories, which `start` would take.
        """
        if self.checkpoint is None:
            return None
        model = self.system.network()
        state = load_checkpoint(self.checkpoint)
        try:
            model.load_state_dict(dict(state))
        except RuntimeError as error:
            problem = (
                f"{self.checkpoint} does not hold weights of {self.system.name} for {len(self.categories)} categories"
            )
            raise StateError("Coco", problem, "Those of other categories are taken as `start`.") from error
        return model.to(self.device)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The system's loss."""
        images, targets = batch
        with self.autocast():
            return self.system.loss(model, images, targets.objects())

    def detect(self, model: nn.Module, split: Split) -> list[tuple[Photo, Found]]:
        """What the model finds in each usable image of a split, in order and in its pixels. Raises as `batches`."""
        photos, found = self.source(split).photos, []
        with evaluating(model), self.autocast():
            for images, targets in self.in_order(split):
                detections = self.system.detect(model, images)
                for number, entry in zip(targets.photos.tolist(), detections, strict=True):
                    photo = photos[number]
                    found.append((photo, _in_photo(entry, photo, self.system.size)))
        return found

    def judge(self, model: nn.Module, split: Split) -> Judged:
        """The model's detections matched to the objects, for all figures of the metric. Raises as `batches`."""
        found = self.detect(model, split)
        return judge([photo for photo, _ in found], [entry for _, entry in found], len(self.categories))

    def precisions(self, model: nn.Module, split: Split) -> Precisions:
        """Average precisions at both overlaps and of each category, in percent. Raises as `batches`."""
        return self.judge(model, split).precisions()

    def evaluate(self, model: nn.Module, split: Split) -> float:
        """What `score` names, in percent; NaN where no object counts. Raises as `batches`."""
        precisions = self.precisions(model, split)
        return precisions.at_half if self.metric == METRICS["mAP50"] else precisions.at_all

    def details(self, model: nn.Module, split: Split) -> Mapping[str, float]:
        """mAP@0.5 and mAP@0.5:0.95, in percent; NaN where no object counts. Raises as `batches`."""
        precisions = self.precisions(model, split)
        return {METRICS["mAP50"]: precisions.at_half, METRICS["mAP50-95"]: precisions.at_all}


def _sizes(photos: Sequence[Photo], size: tuple[int, int]) -> Tensor:
    """Widths and heights of all objects on an input of that size, cut at the photograph's border, float32 (n, 2)."""
    boxes = []
    for photo in photos:
        cut = np.clip(photo.boxes[~photo.crowd], 0, [*photo.size, *photo.size])
        boxes.append(letterbox(photo.size, size).forth(cut))
    together = np.concatenate(boxes)
    return torch.from_numpy((together[:, 2:] - together[:, :2]).astype(np.float32))


def _in_photo(found: Detections, photo: Photo, size: tuple[int, int]) -> Found:
    """Detections on the input as detections in the photograph, cut at its border."""
    boxes = letterbox(photo.size, size).back(found.boxes.double().cpu().numpy())
    boxes = np.clip(boxes, 0, [*photo.size, *photo.size])
    return Found(boxes, found.scores.double().cpu().numpy(), found.labels.cpu().numpy())
