"""PointPillars: pillars to a picture from above, and from there as images are searched.

Lang et al., CVPR 2019, section 2 and figure 2.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from slrprune.tasks.kitti.design import Design

EPS = 1e-3
"""Of BatchNorm, as in the authors' code."""


class Outputs(NamedTuple):
    """What the head says of every anchor, A of them, in the order of `anchors.anchor_boxes`.

    Attributes:
        logits: of the classes, (n, A, classes).
        boxes: what moves the anchor onto the object, (n, A, 7), see `coder`.
        directions: logits of the two ways along the box, (n, A, 2).
    """

    logits: Tensor
    boxes: Tensor
    directions: Tensor


class PointPillars(nn.Module):
    """The network; float32 pillars (n, pillars, points, 4) to `Outputs`.

    Weights are drawn from torch's current RNG.

    Args:
        design: all sizes.
    """

    def __init__(self, design: Design) -> None:
        super().__init__()
        channels = design.channels
        self.features = PillarFeatures(design)
        strides, inputs = (design.stride, 2, 2), (channels, channels, 2 * channels)
        outputs = (channels, 2 * channels, 4 * channels)
        self.blocks = nn.ModuleList(map(_block, inputs, outputs, strides, design.layers))
        self.ups = nn.ModuleList(map(_up, outputs, (2 * channels,) * 3, (1, 2, 4)))
        self.head = Head(6 * channels, design)
        for module in self.modules():
            if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
                module.eps, module.momentum = EPS, design.momentum

    def forward(self, pillars: Tensor) -> Outputs:
        """What is seen at every anchor."""
        features = self.features(pillars)
        maps = []
        for block, up in zip(self.blocks, self.ups, strict=True):
            features = block(features)
            maps.append(up(features))
        outputs: Outputs = self.head(torch.cat(maps, dim=1))
        return outputs


class PillarFeatures(nn.Module):
    """A linear layer for each point and the maximum over each pillar, laid out as a picture from above.

    A point gets nine numbers: x, y, z, reflectance, its offset from the mean of the pillar's points (three) and from
    the pillar's center (two).

    Args:
        design: gives grid and channels.
    """

    low: Tensor
    last: Tensor
    per_meter: Tensor

    def __init__(self, design: Design) -> None:
        super().__init__()
        self.rows, self.columns = design.grid
        # On the device from the start; no part of the state, since the design says the same.
        self.register_buffer("low", torch.tensor(design.low[:2]), persistent=False)
        self.register_buffer("last", torch.tensor([self.columns - 1.0, self.rows - 1.0]), persistent=False)
        self.register_buffer("per_meter", torch.tensor(1 / design.pillar), persistent=False)
        self.linear = nn.Linear(9, design.channels, bias=False)
        self.norm = nn.BatchNorm1d(design.channels)

    def forward(self, pillars: Tensor) -> Tensor:
        """The picture, (n, channels, rows, columns), zero where no pillar stands."""
        valid = (pillars[..., 3:] >= 0).to(pillars.dtype)
        decorated, cells = self._decorated(pillars, valid)
        points = self.linear(decorated)
        points = F.relu(self.norm(points.flatten(0, 2)).unflatten(0, points.shape[:3]))
        # After the ReLU 0 is the least there is, so that empty slots never win.
        strongest = (points * valid).amax(dim=2).transpose(1, 2)
        picture = strongest.new_zeros(len(pillars), strongest.shape[1], self.rows * self.columns + 1)
        picture = picture.scatter(2, cells.unsqueeze(1).expand_as(strongest), strongest)
        seen: Tensor = picture[..., :-1].unflatten(2, (self.rows, self.columns))
        return seen

    def _decorated(self, pillars: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Nine numbers for each point, (n, p, m, 9), and each pillar's cell, (n, p); empty pillars share one beyond."""
        place = pillars[..., :3]
        count = valid.sum(dim=2, keepdim=True).clamp(min=1)
        mean = (place * valid).sum(dim=2, keepdim=True) / count
        cell = ((pillars[:, :, :1, :2] - self.low) * self.per_meter).floor()
        cell = torch.minimum(cell.clamp(min=0), self.last)
        center = (cell + 0.5) / self.per_meter + self.low
        decorated = torch.cat([pillars, place - mean, place[..., :2] - center], dim=3) * valid
        column, row = cell.squeeze(2).long().unbind(2)
        number = torch.where(valid[:, :, 0, 0] > 0, row * self.columns + column, self.rows * self.columns)
        return decorated, number


class Head(nn.Module):
    """Three 1x1 convolutions: classes, boxes and directions of every anchor.

    Args:
        inputs: channels.
        design: gives classes and anchors.
    """

    def __init__(self, inputs: int, design: Design) -> None:
        super().__init__()
        self.classes, per_place = len(design.classes), 2 * len(design.anchors)
        self.logits = nn.Conv2d(inputs, per_place * self.classes, 1)
        self.boxes = nn.Conv2d(inputs, per_place * 7, 1)
        self.directions = nn.Conv2d(inputs, per_place * 2, 1)
        # Nearly all anchors are background; from 1 % on, the first steps are not spent on learning that (Lin et al.,
        # "Focal loss for dense object detection", ICCV 2017, section 4.1).
        nn.init.constant_(self.logits.bias, -math.log(99))  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> Outputs:
        """Features (n, inputs, rows, columns) to `Outputs`, in float32."""
        return Outputs(
            _per_anchor(self.logits(features), self.classes),
            _per_anchor(self.boxes(features), 7),
            _per_anchor(self.directions(features), 2),
        )


def _per_anchor(outputs: Tensor, numbers: int) -> Tensor:
    """(n, anchors * numbers, rows, columns) to float32 (n, rows * columns * anchors, numbers)."""
    return outputs.float().permute(0, 2, 3, 1).reshape(len(outputs), -1, numbers)


def _block(inputs: int, outputs: int, stride: int, layers: int) -> nn.Sequential:
    counts = [inputs] + [outputs] * layers
    strides = [stride] + [1] * layers
    parts: list[nn.Module] = []
    for count, step in zip(counts, strides, strict=True):
        parts.append(nn.Conv2d(count, outputs, 3, stride=step, padding=1, bias=False))
        parts += [nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*parts)


def _up(inputs: int, outputs: int, factor: int) -> nn.Sequential:
    convolution = nn.ConvTranspose2d(inputs, outputs, factor, stride=factor, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))
