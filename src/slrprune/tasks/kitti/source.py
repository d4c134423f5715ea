"""The frames of one split as examples: pillars, and the objects in them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slrprune.tasks.base import Batch
from slrprune.tasks.complaints import Complaints
from slrprune.tasks.disk_source import DiskSource
from slrprune.tasks.kitti.augment import augmented
from slrprune.tasks.kitti.boxes import boxes_from_labels
from slrprune.tasks.kitti.design import Design
from slrprune.tasks.kitti.folder import Frame
from slrprune.tasks.kitti.pillars import pillars
from slrprune.tasks.kitti.points import read_points, seen_points

NO_OBJECT = (0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0)
"""The box that fills a row up: finite in all formulas, and of no class."""


class Scan(NamedTuple):
    """One example.

    Attributes:
        pillars: float32 (pillars, points, 4).
        boxes: objects of the design's classes inside its range, float64 (g, 7).
        classes: their numbers, int64 (g,).
        frame: number of the frame in the split.
    """

    pillars: NDArray[np.float32]
    boxes: NDArray[np.float64]
    classes: NDArray[np.int64]
    frame: int


class Targets(NamedTuple):
    """What the network should find in a batch.

    Attributes:
        boxes: float32 (n, g, 7); scans with fewer than g objects are filled up with `NO_OBJECT`.
        classes: int64 (n, g), -1 where the row was filled up.
        frames: numbers of the frames in the split, int64 (n,).
    """

    boxes: Tensor
    classes: Tensor
    frames: Tensor


class KittiSource(DiskSource[Scan]):
    """One split.

    Args:
        frames: in order.
        design: what the network looks at.
        strict: refuse bad input instead of skipping it.
    """

    def __init__(self, frames: Sequence[Frame], design: Design, strict: bool) -> None:
        super().__init__("Kitti", strict)
        self.frames = tuple(frames)
        self.design = design

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.frames)

    def load(self, index: int, rng: np.random.Generator | None, complaints: Complaints) -> Scan | None:
        """One scan as pillars; None where its file cannot be used."""
        frame = self.frames[index]
        points = read_points(frame.scan, f"training/velodyne/{frame.scan.name}", complaints)
        if points is None:
            return None
        points = seen_points(points, frame.calibration, frame.image_size)
        wanted = [label for label in frame.labels if label.kind in self.design.classes]
        classes = np.array([self.design.classes.index(label.kind) for label in wanted], dtype=np.int64)
        boxes = boxes_from_labels(wanted, frame.calibration)
        if rng is not None:
            points, boxes = augmented(points, boxes, rng)
        inside = ((boxes[:, :2] >= self.design.low[:2]) & (boxes[:, :2] < self.design.high[:2])).all(axis=1)
        return Scan(pillars(points, self.design), boxes[inside], classes[inside], index)

    def collate(self, examples: list[Scan]) -> Batch:
        """Pillars float32 (n, pillars, points, 4) and `Targets`."""
        most = max(len(scan.boxes) for scan in examples)
        boxes = np.full((len(examples), most, 7), NO_OBJECT, dtype=np.float32)
        classes = np.full((len(examples), most), -1, dtype=np.int64)
        for row, scan in enumerate(examples):
            boxes[row, : len(scan.boxes)] = scan.boxes
            classes[row, : len(scan.classes)] = scan.classes
        frames = torch.tensor([scan.frame for scan in examples])
        inputs = torch.from_numpy(np.stack([scan.pillars for scan in examples]))
        return inputs, Targets(torch.from_numpy(boxes), torch.from_numpy(classes), frames)
