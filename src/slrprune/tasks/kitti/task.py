"""KITTI's 3-D object detection with PointPillars."""

import math
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor, nn

from slrprune.errors import ArgumentError, DataError
from slrprune.tasks.base import Batch, Split, evaluating
from slrprune.tasks.complaints import Complaints
from slrprune.tasks.data_folder import data_folder
from slrprune.tasks.disk_task import DiskTask
from slrprune.tasks.kitti.anchors import anchor_boxes, match
from slrprune.tasks.kitti.design import Design, design_named
from slrprune.tasks.kitti.detect import Detections, detections, of_scan
from slrprune.tasks.kitti.evaluation import Judged, average_precisions, judge, precision_of
from slrprune.tasks.kitti.folder import Frame, find_folder, read_frame, split_numbers
from slrprune.tasks.kitti.loss import scan_loss
from slrprune.tasks.kitti.network import Outputs, PointPillars
from slrprune.tasks.kitti.precision import DIFFICULTIES, MODERATE
from slrprune.tasks.kitti.source import KittiSource
from slrprune.tasks.recipe import AdamWRecipe

_KINDS = MappingProxyType({"space": "3-D", "above": "BEV", "image": "2-D"})
"""Kinds of overlap as KITTI's tables name them."""


class Kitti(DiskTask[KittiSource]):
    """Cars, or pedestrians and cyclists, in laser scans of streets; needs the KITTI object data.

    The metric is the 3-D average precision at 40 recall points, difficulty "moderate", mean over the design's classes.
    `average_precisions` gives all others. The split "test" is the published validation list (`ImageSets/val.txt`),
    since the labels of the real test set are not public; "val", for choices, is held out of the training list.

    Args:
        data: the folder that holds `training/velodyne`, `label_2`, `calib` and `image_2`, and best
            `ImageSets/train.txt` and `val.txt`; without `ImageSets` every second frame is trained on. None takes the
            environment variable SLRPRUNE_DATA.
        design: "car" or "people", the networks of the paper, or "reduced", a small one for CPUs.
        holdout: fraction of the training list that is held out as "val", in [0, 1). With 0 there is no "val" split.
        batch_size: of training batches.
        strict: refuse bad input by the name of its file, after reading every file once; otherwise it is skipped and
            counted, see `warnings`.
        workers: processes that load scans ahead; 0 loads them in this one.
        device: where batches and models go.
        bf16: run forward passes under bfloat16 autocast.

    Raises:
        ArgumentError: a value out of range.
        DataError: a folder or a list is missing, or no frame of a split can be used, or `strict` and any bad input.

    Reference:
        A. H. Lang et al., "PointPillars", CVPR 2019; A. Geiger et al., CVPR 2012.
    """

    name = "kitti"
    metric = "3-D average precision"
    unit = "frames"
    dense_recipe = AdamWRecipe(epochs=160, lr=2e-4, weight_decay=1e-4)
    pruning_recipe = AdamWRecipe(epochs=40, lr=2e-4, weight_decay=1e-4)

    def __init__(
        self,
        data: str | PathLike[str] | None = None,
        *,
        design: str = "car",
        holdout: float = 0.1,
        batch_size: int = 2,
        strict: bool = False,
        workers: int = 0,
        device: str | torch.device = "cpu",
        bf16: bool = False,
    ) -> None:
        if not 0 <= holdout < 1:
            raise ArgumentError("Kitti", "holdout", holdout, "must be in [0, 1)")
        self.design: Design = design_named(design)
        complaints = Complaints("Kitti", strict)
        sources = _read(data_folder("Kitti", data), holdout, self.design, complaints)
        super().__init__(sources, complaints, batch_size=batch_size, workers=workers, device=device, bf16=bf16)
        anchors, classes = anchor_boxes(self.design)
        self._anchors, self._anchor_classes = anchors.to(self.device), classes.to(self.device)

    @property
    def model_name(self) -> str:
        """Name of the model in records, for example "pointpillars_car"."""
        return f"pointpillars_{self.design.name}"

    def build_model(self) -> PointPillars:
        """A `PointPillars` with fresh weights."""
        return PointPillars(self.design).to(self.device)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The mean over the scans of `loss.scan_loss`."""
        inputs, targets = batch
        with self.autocast():
            outputs = model(inputs)
        losses = []
        for number, (boxes, classes) in enumerate(zip(targets.boxes, targets.classes, strict=True)):
            answers = match(self._anchors, self._anchor_classes, boxes, classes, self.design)
            losses.append(scan_loss(of_scan(outputs, number), self._anchors, answers, boxes, classes))
        return torch.stack(losses).mean()

    def detect(self, model: nn.Module, split: Split) -> list[tuple[Frame, Detections]]:
        """What the model finds in each usable frame of a split, in order. Raises as `batches`."""
        frames, found = self.source(split).frames, []
        with evaluating(model), self.autocast():
            for inputs, targets in self.in_order(split):
                outputs: Outputs = model(inputs)
                for number, index in enumerate(targets.frames.tolist()):
                    frame = frames[index]
                    scan = of_scan(outputs, number)
                    found.append((frame, detections(scan, self._anchors, frame.calibration, frame.image_size)))
        return found

    def average_precisions(self, model: nn.Module, split: Split) -> dict[tuple[str, str, str], float]:
        """Average precision in percent by (class, kind of overlap, difficulty); NaN where no object counts.

        Kinds of overlap are "image", "above" (KITTI's bird's eye view) and "space" (3-D); difficulties "easy",
        "moderate" and "hard". Raises as `batches`.
        """
        return average_precisions(self._judged(model, split), self.design.classes)

    def evaluate(self, model: nn.Module, split: Split) -> float:
        """3-D average precision, "moderate", mean over the classes that have objects, in percent; NaN without any."""
        judged = self._judged(model, split)
        numbered = enumerate(self.design.classes)
        return _mean(precision_of(judged, number, name, "space", MODERATE) for number, name in numbered)

    def details(self, model: nn.Module, split: Split) -> Mapping[str, float]:
        """The metric and all of `average_precisions`, under names such as "Car, BEV, moderate". Raises as `batches`."""
        table = self.average_precisions(model, split)
        metric = _mean(table[name, "space", MODERATE.name] for name in self.design.classes)
        return {self.metric: metric} | {
            f"{name}, {said}, {difficulty.name}": table[name, kind, difficulty.name]
            for name in self.design.classes
            for kind, said in _KINDS.items()
            for difficulty in DIFFICULTIES
        }

    def _judged(self, model: nn.Module, split: Split) -> list[Judged]:
        return [judge(frame, found) for frame, found in self.detect(model, split)]


def _mean(values: Iterable[float]) -> float:
    """Of the values that are known; NaN without any."""
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan


def _read(root: Path, holdout: float, design: Design, complaints: Complaints) -> dict[Split, KittiSource]:
    """The splits; `complaints` hears of the frames that cannot be used.

    Raises:
        DataError: a folder or a list is missing, there are too few label files, or no frame of a split can be used.
    """
    root = find_folder(root)
    train = split_numbers(root, "train")
    held_out = {number for place, number in enumerate(train) if int((place + 1) * holdout) > int(place * holdout)}
    numbers: dict[Split, list[str]] = {
        "train": [number for number in train if number not in held_out],
        "val": [number for number in train if number in held_out],
        "test": split_numbers(root, "val"),
    }
    _check_frames(root, numbers)
    sources: dict[Split, KittiSource] = {}
    for split, wanted in numbers.items():
        frames = [frame for number in wanted if (frame := read_frame(root, number, complaints)) is not None]
        if wanted and not frames:
            reason, name = complaints.found[-1]
            raise DataError("Kitti", f"no frame of the split {split!r} can be used; {name}: {reason}")
        if frames:
            sources[split] = KittiSource(frames, design, complaints.strict)
    return sources


def _check_frames(root: Path, numbers: Mapping[Split, list[str]]) -> None:
    """Refuses to go without frames to train or to test on. Lists are never empty, so frames were dealt out here."""
    if not numbers["train"] or not numbers["test"]:
        count = "no label file" if not numbers["train"] else "one label file"
        problem = f"the folder {root / 'training' / 'label_2'} holds {count}, where at least two frames are needed"
        way_out = "Add frames: without the folder ImageSets every second one is trained on, and the others test."
        raise DataError("Kitti", problem, way_out)
