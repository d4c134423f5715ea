"""TuSimple's lane detection with Ultra Fast Lane Detection or a segmentation after LaneNet."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from slrprune.errors import ArgumentError
from slrprune.tasks.base import Batch, Split, evaluating
from slrprune.tasks.complaints import Complaints
from slrprune.tasks.data_folder import data_folder
from slrprune.tasks.disk_task import DiskTask
from slrprune.tasks.recipe import AdamWRecipe
from slrprune.tasks.tusimple.backbone import load_backbone
from slrprune.tasks.tusimple.folder import read_splits
from slrprune.tasks.tusimple.labels import LaneImage
from slrprune.tasks.tusimple.metric import LaneScores, score
from slrprune.tasks.tusimple.row_anchors import RowAnchors
from slrprune.tasks.tusimple.segmentation import Segmentation
from slrprune.tasks.tusimple.source import TuSimpleSource
from slrprune.tasks.tusimple.system import LaneSystem
from slrprune.tasks.weights_file import WeightsFile

SYSTEMS: Mapping[str, LaneSystem] = MappingProxyType(
    {
        system.name: system
        for system in (
            RowAnchors("ufld", (288, 800), 64),
            Segmentation("lanenet", (256, 512), 64),
            RowAnchors("ufld_reduced", (64, 160), 8, rows=28, cells=50, hidden=128),
            Segmentation("lanenet_reduced", (96, 192), 8),
        )
    }
)
"""What can be trained, by name: the published sizes, and small ones for CPUs."""


@dataclass(frozen=True)
class Found:
    """The lanes found in one image.

    Attributes:
        image: with its labels.
        lanes: x in pixels, rounded as a submission has it, at each of the image's rows; -2 where absent.
    """

    image: LaneImage
    lanes: tuple[NDArray[np.float64], ...]

    def line(self, run_time: float) -> str:
        """The line of a submission, for the official script; `run_time` in milliseconds."""
        lanes = [lane.astype(int).tolist() for lane in self.lanes]
        rows = self.image.rows.astype(int).tolist()
        return json.dumps({"raw_file": self.image.name, "lanes": lanes, "h_samples": rows, "run_time": run_time})


class TuSimple(DiskTask[TuSimpleSource]):
    """Lanes on highways; needs the TuSimple lane detection data.

    The metric is the official accuracy; `scores` gives the rates of false positives and negatives, too. The split "val"
    is `label_data_0531.json`, one of the three files with training labels; "test" is `test_label.json`.

    Args:
        data: the folder with `clips` and the label files, or with `train_set` and `test_set`; None takes the
            environment variable SLRPRUNE_DATA.
        system: "ufld" or "lanenet", or a small one for CPUs: "ufld_reduced", "lanenet_reduced".
        backbone: file with the weights of a ResNet-18, with torchvision's or timm's names, to start from as the paper
            does; None starts from random weights.
        batch_size: of training batches.
        strict: refuse bad input by the name of its file, after reading every file once; otherwise it is skipped and
            counted, see `warnings`.
        workers: processes that load images ahead; 0 loads them in this one.
        device: where batches and models go.
        bf16: run forward passes under bfloat16 autocast.

    Raises:
        ArgumentError: a value out of range.
        DataError: a file or folder is missing, or no image of a split can be used, or `strict` and any bad input.
        MissingExtraError: Pillow is not installed.

    Reference:
        Z. Qin et al., ECCV 2020; D. Neven et al., IV 2018; the benchmark's repository, TuSimple/tusimple-benchmark.
    """

    name = "tusimple"
    metric = "accuracy"
    unit = "images"
    dense_recipe = AdamWRecipe(epochs=100, lr=4e-4, weight_decay=1e-4, warmup=0.01)
    pruning_recipe = AdamWRecipe(epochs=40, lr=4e-4, weight_decay=1e-4)

    def __init__(
        self,
        data: str | PathLike[str] | None = None,
        *,
        system: str = "ufld",
        backbone: str | PathLike[str] | None = None,
        batch_size: int = 32,
        strict: bool = False,
        workers: int = 0,
        device: str | torch.device = "cpu",
        bf16: bool = False,
    ) -> None:
        if system not in SYSTEMS:
            raise ArgumentError("TuSimple", "system", system, f"must be one of {', '.join(SYSTEMS)}")
        self.system, self.backbone = SYSTEMS[system], WeightsFile.of(backbone)
        complaints = Complaints("TuSimple", strict)
        splits = read_splits(data_folder("TuSimple", data), complaints)
        sources = {split: TuSimpleSource(images, self.system, strict) for split, images in splits.items()}
        super().__init__(sources, complaints, batch_size=batch_size, workers=workers, device=device, bf16=bf16)

    @property
    def model_name(self) -> str:
        """Name of the model in records, for example "ufld"."""
        return self.system.name

    def build_model(self) -> nn.Module:
        """The system's network, its backbone with the given weights.

        Raises:
            DataError: the backbone's file cannot be read.
            StateError: it belongs to another network.
        """
        model = self.system.network()
        if self.backbone is not None:
            load_backbone(model, self.backbone)
        return model.to(self.device)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The system's loss."""
        inputs, targets = batch
        with self.autocast():
            outputs = model(inputs)
        return self.system.loss(outputs, targets.wanted)

    def detect(self, model: nn.Module, split: Split) -> list[Found]:
        """What the model finds in each usable image of a split, in order. Raises as `batches`."""
        photos, found = self.source(split).images, []
        with evaluating(model), self.autocast():
            for inputs, targets in self.in_order(split):
                outputs = model(inputs).float().cpu().numpy().astype(np.float64)
                for output, number, size in zip(outputs, targets.images.tolist(), targets.sizes.tolist(), strict=True):
                    image = photos[number]
                    lanes = self.system.lanes(output, image.rows, (size[0], size[1]))
                    found.append(Found(image, tuple(np.where(lane >= 0, lane.round(), -2.0) for lane in lanes)))
        return found

    def scores(self, model: nn.Module, split: Split) -> LaneScores:
        """Accuracy and rates as the official script prints them, fractions; NaN where no image can be used."""
        found = self.detect(model, split)
        return LaneScores.mean(score(entry.lanes, list(entry.image.lanes), entry.image.rows) for entry in found)

    def evaluate(self, model: nn.Module, split: Split) -> float:
        """The official accuracy in percent. Raises as `batches`."""
        return 100 * self.scores(model, split).accuracy

    def details(self, model: nn.Module, split: Split) -> Mapping[str, float]:
        """Accuracy and the rates of false positives and negatives, in percent. Raises as `batches`."""
        found = self.scores(model, split)
        rates = {"false positive rate": found.false_positives, "false negative rate": found.false_negatives}
        return {self.metric: 100 * found.accuracy} | {name: 100 * rate for name, rate in rates.items()}
