"""Ultra Fast Lane Detection: for each row and lane, in which cell of the row the lane is, if anywhere.

Z. Qin, H. Wang, X. Li, "Ultra fast structure-aware deep lane detection", ECCV 2020. An image has C lanes, h rows
("row anchors") and w cells in each row; the network gives logits of w + 1 cells, the last of which means "no lane
here".

    L = L_cls + alpha L_str,   L_str = L_sim + lambda L_shp

L_cls is the cross-entropy of the cells, with the focal factor (1 - p)^2 of the authors' code. L_sim is the smooth L1
distance between the logits of neighboring rows (their code; the paper compares probabilities), L_shp the second
difference of the expected places, in fractions of a row so that it does not depend on w. alpha = lambda = 1. The
paper's auxiliary segmentation branch, which exists in training only, is left out.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from slrprune.tasks.tusimple.geometry import ABSENT, at_rows, length, slope
from slrprune.tasks.tusimple.resnet import ResNet18
from slrprune.tasks.tusimple.system import Array, LaneSystem

LANES = 4
"""Two to the left of the car, two to the right."""

FOCUS = 2.0
SIMILARITY, SHAPE = 1.0, 1.0

LEAST_LENGTH = 90 / 1280
"""Length below which a labelled lane is no target, as a fraction of the image's width (authors' code: 90 pixels)."""

LEAST_POINTS = 3
"""Rows that a predicted lane must have at least (authors' code)."""

SAMPLED = (160 / 720, 710 / 720)
"""Highest and lowest row, as fractions of the image's height: those of TuSimple's labels."""


class RowAnchors(LaneSystem):
    """Ultra Fast Lane Detection on a ResNet-18.

    Args:
        name: in records.
        size: height and width of the input, pixels, divisible by 32.
        width: channels of the backbone's first stage.
        rows: row anchors, at least 3, evenly spaced between the two of `SAMPLED`.
        cells: of a row, at least 2.
        hidden: units of the hidden layer.
    """

    def __init__(
        self, name: str, size: tuple[int, int], width: int, *, rows: int = 56, cells: int = 100, hidden: int = 2048
    ) -> None:
        super().__init__(name, size, width)
        self.rows, self.cells, self.hidden = rows, cells, hidden

    def network(self) -> "RowAnchorNet":
        """Images (n, 3, *size) to logits (n, cells + 1, rows, lanes)."""
        return RowAnchorNet(self)

    def anchors(self, image_height: int) -> Array:
        """The y of the row anchors in an image."""
        return np.linspace(*SAMPLED, self.rows) * image_height

    def target(self, lanes: Array, rows: Array, image_size: tuple[int, int]) -> NDArray[np.int64]:
        """The cell of each row and lane, (rows, lanes); `cells` where there is none."""
        chosen = np.full((self.rows, LANES), self.cells, dtype=np.int64)
        for place, lane in enumerate(places(lanes, rows, image_size[0])):
            if lane is not None:
                x = at_rows(lane, rows, self.anchors(image_size[1]))
                cell = np.floor(x / image_size[0] * self.cells).astype(np.int64).clip(0, self.cells - 1)
                chosen[:, place] = np.where(x >= 0, cell, self.cells)
        return chosen

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The classification loss, and what the paper calls the structural one."""
        logits = outputs.float()
        chances = logits.log_softmax(dim=1)
        focused = (1 - chances.exp()) ** FOCUS * chances
        similarity = F.smooth_l1_loss(logits[:, :, 1:], logits[:, :, :-1])
        expected = _expected(logits)
        bend = expected[:, 2:] - 2 * expected[:, 1:-1] + expected[:, :-2]
        return F.nll_loss(focused, targets) + SIMILARITY * similarity + SHAPE * bend.abs().mean() / self.cells

    def lanes(self, output: Array, rows: Array, image_size: tuple[int, int]) -> list[Array]:
        """The expected place in each row where "no lane here" is not the likeliest."""
        logits = torch.from_numpy(output)[None]
        x = (_expected(logits)[0].numpy() + 0.5) * image_size[0] / self.cells
        x = np.where(output.argmax(axis=0) == self.cells, ABSENT, x)
        found = [x[:, place] for place in range(LANES) if (x[:, place] >= 0).sum() >= LEAST_POINTS]
        return [at_rows(lane, self.anchors(image_size[1]), rows) for lane in found]


class RowAnchorNet(nn.Module):
    """The network: backbone, a 1x1 convolution to eight channels, two linear layers that see the whole image.

    Args:
        system: all sizes.
    """

    def __init__(self, system: RowAnchors) -> None:
        super().__init__()
        self.shape = (system.cells + 1, system.rows, LANES)
        self.backbone = ResNet18(system.width)
        self.pool = nn.Conv2d(8 * system.width, 8, 1)
        places = 8 * (system.size[0] // 32) * (system.size[1] // 32)
        outputs = self.shape[0] * self.shape[1] * self.shape[2]
        self.cls = nn.Sequential(nn.Linear(places, system.hidden), nn.ReLU(), nn.Linear(system.hidden, outputs))

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, cells + 1, rows, lanes)."""
        logits: Tensor = self.cls(self.pool(self.backbone(images)[-1]).flatten(1)).unflatten(1, self.shape)
        return logits


def places(lanes: Array, rows: Array, image_width: int) -> list[Array | None]:
    """Which lane is far left, near left, near right, far right; None where there is none.

    On the left lanes lean to the right, so x falls as y grows; of two the steeper one is the nearer. Lanes that are
    too short, or farther out than two, are no targets (authors' code).
    """
    leans = [(slope(lane, rows), lane) for lane in lanes if length(lane, rows) >= LEAST_LENGTH * image_width]
    left = sorted((entry for entry in leans if entry[0] <= 0), key=lambda entry: -entry[0])
    right = sorted((entry for entry in leans if entry[0] > 0), key=lambda entry: entry[0])
    nearest_left = [lane for _, lane in left[:2]] + [None] * 2
    nearest_right = [lane for _, lane in right[:2]] + [None] * 2
    return [nearest_left[1], nearest_left[0], nearest_right[0], nearest_right[1]]


def _expected(logits: Tensor) -> Tensor:
    """The expected cell of each row and lane, (n, rows, lanes), if the lane is there (paper, equation 5)."""
    chances = logits[:, :-1].softmax(dim=1)
    cells = torch.arange(chances.shape[1], device=logits.device, dtype=chances.dtype)
    return torch.einsum("ncrl,c->nrl", chances, cells)
