"""Lanes as a binary segmentation of the road, after LaneNet.

D. Neven, B. De Brabandere, S. Georgoulis, M. Proesmans, L. Van Gool, "Towards end-to-end lane detection: an instance
segmentation approach", IEEE Intelligent Vehicles Symposium 2018: its binary branch, with the bounded inverse class
weights of its section II-A. Which pixels belong to one lane is read off the picture by `tracing` instead of a second
branch of embeddings, and the encoder is a ResNet-18 with a decoder of lateral connections instead of an ENet.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from slrprune.tasks.tusimple.geometry import at_rows, slope
from slrprune.tasks.tusimple.resnet import ResNet18
from slrprune.tasks.tusimple.system import Array, LaneSystem
from slrprune.tasks.tusimple.tracing import trace

STRIDE = 4
"""Of the output."""

BOUND = 1.02
"""c of the class weights 1 / ln(c + p), where p is the class's share of the pixels (ENet's paper, section 5.2)."""

MOST_LANES = 5
"""Predicted lanes, the longest ones; TuSimple labels at most five."""


class Segmentation(LaneSystem):
    """A binary segmentation at a quarter of the input's resolution.

    Args:
        name: in records.
        size: height and width of the input, pixels, divisible by 32.
        width: channels of the backbone's first stage.
        thickness: of a lane in the target, across it, in output pixels, at least 1.
    """

    def __init__(self, name: str, size: tuple[int, int], width: int, *, thickness: int = 1) -> None:
        super().__init__(name, size, width)
        self.thickness = thickness

    def network(self) -> "SegmentationNet":
        """Images (n, 3, *size) to logits (n, size / 4)."""
        return SegmentationNet(self.width)

    def target(self, lanes: Array, rows: Array, image_size: tuple[int, int]) -> NDArray[np.int64]:
        """1 on lanes, else 0: (height / 4, width / 4)."""
        height, width = (side // STRIDE for side in self.size)
        y = (np.arange(height) + 0.5) * image_size[1] / height
        middle = np.arange(width) + 0.5
        picture = np.zeros((height, width), dtype=np.int64)
        for lane in lanes:
            x = at_rows(lane, rows, y) * width / image_size[0]
            # A lane that lies flat in the picture crosses a row in more pixels than an upright one.
            lean = slope(lane, rows) * width / image_size[0] * image_size[1] / height
            reach = self.thickness / 2 * np.hypot(1, np.nan_to_num(lean))
            picture[(np.abs(middle[None] - x[:, None]) <= reach) & (x >= 0)[:, None]] = 1
        return picture

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy of the two classes, each weighted by its share of the batch."""
        share = targets.float().mean()
        weight = torch.where(targets > 0, 1 / (BOUND + share).log(), 1 / (BOUND + 1 - share).log())
        losses = F.binary_cross_entropy_with_logits(outputs.float(), targets.float(), reduction="none")
        return (weight * losses).sum() / weight.sum()

    def lanes(self, output: Array, rows: Array, image_size: tuple[int, int]) -> list[Array]:
        """The longest traces of pixels that are likelier lane than not."""
        height, width = output.shape
        picture = 1 / (1 + np.exp(-output))
        y = (np.arange(height) + 0.5) * image_size[1] / height
        found = []
        for x in trace(picture)[:MOST_LANES]:
            lane = np.where(x >= 0, (x + 0.5) * image_size[0] / width, -2.0)
            found.append(at_rows(lane, y, rows))
        return [lane for lane in found if (lane >= 0).any()]


class SegmentationNet(nn.Module):
    """The network: a ResNet-18, and a decoder that adds its four maps from coarse to fine.

    Args:
        width: channels of the backbone's first stage, and of the decoder.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.backbone = ResNet18(width)
        self.lateral = nn.ModuleList(nn.Conv2d(factor * width, width, 1) for factor in (1, 2, 4, 8))
        self.smooth = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        )
        self.logits = nn.Conv2d(width, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of "lane", (n, h / 4, w / 4)."""
        maps = [lateral(features) for lateral, features in zip(self.lateral, self.backbone(images), strict=True)]
        combined = maps[-1]
        for finer in reversed(maps[:-1]):
            combined = finer + F.interpolate(combined, scale_factor=2.0, mode="nearest")
        logits: Tensor = self.logits(self.smooth(combined))
        return logits.squeeze(1)
