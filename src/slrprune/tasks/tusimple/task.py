"""TuSimple's lane detection with Ultra Fast Lane Detection or a segmentation after LaneNet."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from os import PathLike
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from slrprune.errors import ArgumentError
from slrprune.tasks.base import Batch, Split, Task, check_split, evaluating
from slrprune.tasks.complaints import Complaints
from slrprune.tasks.data_folder import data_folder
from slrprune.tasks.disk_source import ordered_batches, training_batches
from slrprune.tasks.recipe import AdamWRecipe
from slrprune.tasks.tally import Tally
from slrprune.tasks.tusimple.backbone import load_backbone
from slrprune.tasks.tusimple.folder import read_splits
from slrprune.tasks.tusimple.labels import LaneImage
from slrprune.tasks.tusimple.metric import LaneScores, score
from slrprune.tasks.tusimple.row_anchors import RowAnchors
from slrprune.tasks.tusimple.segmentation import Segmentation
from slrprune.tasks.tusimple.source import TuSimpleSource
from slrprune.tasks.tusimple.system import LaneSystem

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


class TuSimple(Task):
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
        super().__init__(device=device, bf16=bf16)
        if system not in SYSTEMS:
            raise ArgumentError("TuSimple", "system", system, f"must be one of {', '.join(SYSTEMS)}")
        if workers < 0:
            raise ArgumentError("TuSimple", "workers", workers, "must be at least 0")
        self.system, self.backbone = SYSTEMS[system], backbone
        self.batch_size, self.workers, self.strict = batch_size, workers, strict
        self.tally = Tally()
        self.sources = self._read(data)
        count = len(self.sources["train"])
        if not 1 <= batch_size <= count:
            rule = f"must be in [1, {count}], the number of training images"
            raise ArgumentError("TuSimple", "batch_size", batch_size, rule)

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

    @property
    def steps_per_epoch(self) -> int:
        """Number of full batches in the training split."""
        return len(self.sources["train"]) // self.batch_size

    def batches(self, split: Split, epoch: int = 0, seed: int = 0) -> Iterator[Batch]:
        """Images float32 (n, 3, h, w) and `Targets`; see `Task.batches`.

        Raises:
            ArgumentError: an unknown split.
        """
        check_split("tusimple.batches", split)
        if split != "train":
            return self._in_order(split)
        return training_batches(
            self.sources[split],
            size=self.batch_size,
            epoch=epoch,
            seed=seed,
            workers=self.workers,
            device=self.device,
            tally=self.tally,
        )

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The system's loss."""
        inputs, targets = batch
        with self.autocast():
            outputs = model(inputs)
        return self.system.loss(outputs, targets.wanted)

    def detect(self, model: nn.Module, split: Split) -> list[Found]:
        """What the model finds in each usable image of a split, in order. Raises as `batches`."""
        check_split("tusimple.detect", split)
        found = []
        with evaluating(model), self.autocast():
            for inputs, targets in self._in_order(split):
                outputs = model(inputs).float().cpu().numpy().astype(np.float64)
                for output, number, size in zip(outputs, targets.images.tolist(), targets.sizes.tolist(), strict=True):
                    image = self.sources[split].images[number]
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

    def warnings(self) -> tuple[str, ...]:
        """What was skipped so far, one sentence for each reason."""
        return self.tally.sentences()

    def _in_order(self, split: Split) -> Iterator[Batch]:
        source, size = self.sources[split], self.batch_size
        return ordered_batches(source, size=size, workers=self.workers, device=self.device, tally=self.tally)

    def _read(self, data: str | PathLike[str] | None) -> dict[Split, TuSimpleSource]:
        complaints = Complaints("TuSimple", self.strict)
        splits = read_splits(data_folder("TuSimple", data), complaints)
        for reason, name in complaints.found:
            self.tally.add(reason, name)
        sources = {split: TuSimpleSource(images, self.system, self.strict) for split, images in splits.items()}
        if self.strict:
            for source in sources.values():
                source.check()
        return sources
