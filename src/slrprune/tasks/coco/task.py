"""Objects in photographs: data sets in COCO's format, with any network that detects."""

from collections.abc import Iterator, Sequence
from os import PathLike
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor, nn

from slrprune.errors import ArgumentError, StateError, UsageError
from slrprune.tasks.base import Batch, Split, Task, check_split, evaluating
from slrprune.tasks.coco.annotations import Photo
from slrprune.tasks.coco.augment import AUGMENTATIONS, Augmentation
from slrprune.tasks.coco.folder import read_folder
from slrprune.tasks.coco.metric import Found, Judged, Precisions, judge
from slrprune.tasks.coco.placement import letterbox
from slrprune.tasks.coco.source import CocoSource
from slrprune.tasks.coco.system import Detections, DetectionSystem
from slrprune.tasks.coco.systems import system_named
from slrprune.tasks.complaints import Complaints
from slrprune.tasks.data_folder import data_folder
from slrprune.tasks.disk_source import ordered_batches, training_batches
from slrprune.tasks.recipe import AdamWRecipe
from slrprune.tasks.resnet_cifar import load_checkpoint
from slrprune.tasks.tally import Tally

METRICS = MappingProxyType({"mAP50": "mAP@0.5", "mAP50-95": "mAP@0.5:0.95"})
"""What `evaluate` may return: the option's value, and the name in records."""


class Coco(Task):
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
        start: file with weights to start from, a state dict of torch or a safetensors file; None starts from random
            ones, or from what the library's detector comes with.
        checkpoint: file with weights trained on these categories, for `pretrained`.
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
        super().__init__(device=device, bf16=bf16)
        if score not in METRICS:
            raise ArgumentError("Coco", "score", score, f"must be one of {', '.join(METRICS)}")
        if not 0 <= holdout < 1:
            raise ArgumentError("Coco", "holdout", holdout, "must be in [0, 1)")
        if workers < 0:
            raise ArgumentError("Coco", "workers", workers, "must be at least 0")
        self.metric, self.start, self.checkpoint = METRICS[score], start, checkpoint
        self.batch_size, self.workers, self.strict = batch_size, workers, strict
        self.tally = Tally()
        complaints = Complaints("Coco", strict)
        splits = read_folder(data_folder("Coco", data), holdout, complaints)
        for reason, name in complaints.found:
            self.tally.add(reason, name)
        self.categories = tuple(category.name for category in splits.categories)
        count = len(splits.photos["train"])
        if not 1 <= batch_size <= count:
            rule = f"must be in [1, {count}], the number of training images"
            raise ArgumentError("Coco", "batch_size", batch_size, rule)
        published = system_named(system, _size(size), len(self.categories))
        self.system = published.fitted(_sizes(splits.photos["train"], published.size))
        self.sources = self._sources(splits.photos, augment)

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
            _load(self.system, model, self.start)
        return model.to(self.device)

    def pretrained(self) -> nn.Module | None:
        """The network with the weights of `checkpoint`; None without one.

        Raises:
            DataError: the file cannot be read.
            StateError: it belongs to another network.
        """
        if self.checkpoint is None:
            return None
        model = self.system.network()
        _load(self.system, model, self.checkpoint)
        return model.to(self.device)

    @property
    def steps_per_epoch(self) -> int:
        """Number of full batches in the training split."""
        return len(self.sources["train"]) // self.batch_size

    def batches(self, split: Split, epoch: int = 0, seed: int = 0) -> Iterator[Batch]:
        """Images float32 (n, 3, height, width) in [0, 1], and `Targets`; see `Task.batches`.

        Raises:
            ArgumentError: an unknown split.
            UsageError: there is no "val" split.
        """
        source = self._source(split)
        if split != "train":
            return self._in_order(source)
        return training_batches(
            source,
            size=self.batch_size,
            epoch=epoch,
            seed=seed,
            workers=self.workers,
            device=self.device,
            tally=self.tally,
        )

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The system's loss."""
        images, targets = batch
        with self.autocast():
            return self.system.loss(model, images, targets.objects())

    def detect(self, model: nn.Module, split: Split) -> list[tuple[Photo, Found]]:
        """What the model finds in each usable image of a split, in order and in its pixels. Raises as `batches`."""
        source = self._source(split)
        found = []
        with evaluating(model), self.autocast():
            for images, targets in self._in_order(source):
                detections = self.system.detect(model, images)
                for number, entry in zip(targets.photos.tolist(), detections, strict=True):
                    photo = source.photos[number]
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

    def warnings(self) -> tuple[str, ...]:
        """What was skipped so far, one sentence for each reason."""
        return self.tally.sentences()

    def _in_order(self, source: CocoSource) -> Iterator[Batch]:
        size = self.batch_size
        return ordered_batches(source, size=size, workers=self.workers, device=self.device, tally=self.tally)

    def _source(self, split: Split) -> CocoSource:
        check_split("coco.batches", split)
        if split not in self.sources:
            raise UsageError("coco", f"there is no {split!r} split", "Hold some training images out for it.")
        return self.sources[split]

    def _sources(self, photos: dict[Split, tuple[Photo, ...]], augment: str | Augmentation) -> dict[Split, CocoSource]:
        if isinstance(augment, str):
            if augment not in AUGMENTATIONS:
                raise ArgumentError("Coco", "augment", augment, f"must be one of {', '.join(AUGMENTATIONS)}")
            augment = AUGMENTATIONS[augment]
        size, strict = self.system.size, self.strict
        sources = {split: CocoSource(chosen, size, augment, strict) for split, chosen in photos.items()}
        if strict:
            for source in sources.values():
                source.check()
        return sources


def _size(size: int | Sequence[int] | None) -> tuple[int, int] | None:
    if size is None:
        return None
    sides = (size, size) if isinstance(size, int) else tuple(size)
    if len(sides) != 2 or not all(isinstance(side, int) and side >= 1 for side in sides):
        rule = "must be a positive whole number, or two of them, height and width"
        raise ArgumentError("Coco", "size", size, rule)
    return sides[0], sides[1]


def _sizes(photos: Sequence[Photo], size: tuple[int, int]) -> Tensor:
    """Widths and heights of all objects on an input of that size, without augmentation, float32 (n, 2)."""
    boxes = [letterbox(photo.size, size).forth(photo.boxes[~photo.crowd]) for photo in photos]
    together = np.concatenate(boxes)
    return torch.from_numpy((together[:, 2:] - together[:, :2]).astype(np.float32))


def _in_photo(found: Detections, photo: Photo, size: tuple[int, int]) -> Found:
    """Detections on the input as detections in the photograph, cut at its border."""
    boxes = letterbox(photo.size, size).back(found.boxes.double().cpu().numpy())
    boxes = np.clip(boxes, 0, [*photo.size, *photo.size])
    return Found(boxes, found.scores.double().cpu().numpy(), found.labels.cpu().numpy())


def _load(system: DetectionSystem, model: nn.Module, file: str | PathLike[str]) -> None:
    state = load_checkpoint(file)
    try:
        system.load(model, state)
    except RuntimeError as error:
        raise StateError("Coco", f"{file} does not hold weights of {system.name}") from error
