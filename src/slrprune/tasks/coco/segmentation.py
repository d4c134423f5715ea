"""What each pixel of a photograph shows: data sets in COCO's format, with the segmentation networks of torchvision."""

import math
from collections.abc import Sequence
from os import PathLike

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from slrprune.errors import ArgumentError, DataError, StateError, suggestion
from slrprune.tasks.base import Batch, Split, evaluating
from slrprune.tasks.coco.augment import augmentation_named
from slrprune.tasks.coco.folder import read_folder
from slrprune.tasks.coco.input_size import input_size
from slrprune.tasks.coco.partial_weights import load_fitting
from slrprune.tasks.coco.placement import UNKNOWN
from slrprune.tasks.coco.segmentation_source import SegmentationSource
from slrprune.tasks.coco.torchvision_models import torchvision_models
from slrprune.tasks.complaints import Complaints
from slrprune.tasks.data_folder import data_folder
from slrprune.tasks.disk_task import DiskTask
from slrprune.tasks.recipe import AdamWRecipe
from slrprune.tasks.weights_file import WeightsFile

MEAN = (0.485, 0.456, 0.406)
"""Mean of red, green and blue in [0, 1] that torchvision's networks are trained with."""

STD = (0.229, 0.224, 0.225)
"""Standard deviations that go with `MEAN`."""


_NETWORK = "A segmentation network of torchvision"


class PixelLogits(nn.Module):
    """A segmentation network of torchvision that takes images in [0, 1] and gives one tensor.

    Args:
        segmenter: torchvision's network.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, segmenter: nn.Module) -> None:
        super().__init__()
        self.segmenter = segmenter
        self.register_buffer("mean", torch.tensor(MEAN).reshape(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).reshape(3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Logits float32 (n, categories + 1, height, width) for images float32 (n, 3, height, width)."""
        return self.segmenter((images - self.mean) / self.std)["out"]  # type: ignore[no-any-return]


class CocoSegmentation(DiskTask[SegmentationSource]):
    """Semantic segmentation of photographs; needs COCO, or another data set in its format with outlines.

    The metric is the mean intersection over union of background and categories, over all pixels of the split together,
    on the network's input; pixels that two categories claim count nowhere. Splits as in `Coco`.

    Args:
        data: the folder; `slrprune.tasks.coco.folder` knows its layouts. None takes the environment variable
            SLRPRUNE_DATA.
        model: name of a network in `torchvision.models.segmentation`, for example "lraspp_mobilenet_v3_large".
        size: height and width of the network's input in pixels, or one number for both.
        start: file with torchvision's weights to start from; those of a head for other categories are left out.
        augment: how training images are changed: "photo", "slide" or "none".
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
        MissingExtraError: torchvision, Pillow or pycocotools is not installed.
    """

    name = "coco_segmentation"
    unit = "images"
    metric = "mean IoU"
    dense_recipe = AdamWRecipe(epochs=30, lr=3e-4, weight_decay=1e-4, warmup=0.02)
    pruning_recipe = AdamWRecipe(epochs=20, lr=1e-4, weight_decay=1e-4)

    def __init__(
        self,
        data: str | PathLike[str] | None = None,
        *,
        model: str = "lraspp_mobilenet_v3_large",
        size: int | Sequence[int] = 520,
        start: str | PathLike[str] | None = None,
        augment: str = "photo",
        holdout: float = 0.05,
        batch_size: int = 8,
        strict: bool = False,
        workers: int = 0,
        device: str | torch.device = "cpu",
        bf16: bool = False,
    ) -> None:
        if not 0 <= holdout < 1:
            raise ArgumentError("CocoSegmentation", "holdout", holdout, "must be in [0, 1)")
        augmentation = augmentation_named(augment)
        if augmentation.mosaic:
            raise ArgumentError("CocoSegmentation", "augment", augment, "must be one without a mosaic")
        self.model, self.start = model, WeightsFile.of(start)
        self.size = input_size("CocoSegmentation", size)
        complaints = Complaints("CocoSegmentation", strict)
        splits = read_folder(data_folder("CocoSegmentation", data), holdout, complaints, shapes=True)
        self.categories = tuple(category.name for category in splits.categories)
        models = torchvision_models(_NETWORK)
        names = models.list_models(module=models.segmentation)
        if model not in names:
            way_out = suggestion(model, names, "The closest is {}.")
            raise ArgumentError("CocoSegmentation", "model", model, f"must be one of {', '.join(names)}", way_out)
        if len(self.categories) >= UNKNOWN:
            raise DataError(
                "CocoSegmentation", f"at most {UNKNOWN - 1} categories can be drawn, not {len(self.categories)}"
            )
        sources = {
            split: SegmentationSource(photos, self.size, augmentation, strict)
            for split, photos in splits.photos.items()
        }
        super().__init__(sources, complaints, batch_size=batch_size, workers=workers, device=device, bf16=bf16)

    @property
    def model_name(self) -> str:
        """Name of the model in records, for example "lraspp_mobilenet_v3_large"."""
        return self.model

    def build_model(self) -> PixelLogits:
        """torchvision's network with fresh weights, or those of `start`.

        Raises:
            DataError: the file cannot be read.
            StateError: it belongs to another network.
        """
        classes = len(self.categories) + 1
        models = torchvision_models(_NETWORK)
        segmenter = models.get_model(self.model, weights=None, weights_backbone=None, num_classes=classes)
        if self.start is not None:
            state = self.start.load()
            # torchvision trains some networks with a second head beside the first, which nothing here looks at.
            used = {name: tensor for name, tensor in state.items() if not name.startswith("aux_classifier.")}
            try:
                load_fitting(segmenter, used)
            except RuntimeError as error:
                problem = f"{self.start.path} does not hold weights of {self.model}"
                raise StateError("CocoSegmentation", problem) from error
        return PixelLogits(segmenter).to(self.device)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Mean cross-entropy over the pixels that are known."""
        images, labels = batch
        with self.autocast():
            logits = model(images)
        return F.cross_entropy(logits.float(), labels, ignore_index=UNKNOWN)

    def intersections(self, model: nn.Module, split: Split) -> Tensor:
        """Intersection over union of background and each category, as fractions, float64 (c + 1,).

        NaN where the labels of the split hold no such pixel. Raises as `batches`.
        """
        classes = len(self.categories) + 1
        counts = torch.zeros(classes, classes, dtype=torch.int64, device=self.device)
        with evaluating(model), self.autocast():
            for images, labels in self.in_order(split):
                said = model(images).argmax(dim=1)
                known = labels != UNKNOWN
                pairs = torch.bincount(labels[known] * classes + said[known], minlength=classes**2)
                counts += pairs.reshape(classes, classes)
        right = counts.diagonal().double()
        found = right / (counts.sum(0) + counts.sum(1) - right)
        return torch.where(counts.sum(1) > 0, found, math.nan).cpu()

    def evaluate(self, model: nn.Module, split: Split) -> float:
        """Mean over background and categories that occur, in percent; NaN where no pixel is known."""
        return 100 * float(self.intersections(model, split).nanmean())
