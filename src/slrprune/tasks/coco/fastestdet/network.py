"""The network FastestDet, in the layout of its published weights."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from slrprune.tasks.coco.fastestdet.backbone import Backbone, depthwise, pointwise

_WIDTH = 96


class _Narrowing(nn.Module):
    """A 1x1 convolution with BatchNorm and ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1x1 = nn.Sequential(*pointwise(inputs, outputs, nn.ReLU()))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv1x1(x)  # type: ignore[no-any-return]


class _Views(nn.Module):
    """Three views of one map, through one, two and three 5x5 convolutions, added to it."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.Conv1x1 = _Narrowing(inputs, width)
        self.S1 = self._view(width, 1)
        self.S2 = self._view(width, 2)
        self.S3 = self._view(width, 3)
        self.output = nn.Sequential(*pointwise(3 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = self.Conv1x1(x)
        return F.relu(x + self.output(torch.cat([self.S1(x), self.S2(x), self.S3(x)], 1)))

    @staticmethod
    def _view(width: int, depth: int) -> nn.Sequential:
        return nn.Sequential(*(layer for _ in range(depth) for layer in depthwise(width, 5, 1, nn.ReLU())))


class _Branch(nn.Module):
    """A 5x5 convolution of each channel, then a 1x1 convolution to the predictions."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.conv5x5 = nn.Sequential(*depthwise(width, 5, 1, nn.ReLU()), *pointwise(width, outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv5x5(x)  # type: ignore[no-any-return]


class _Head(nn.Module):
    """Three branches: the object, its box, its category."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.conv1x1 = _Narrowing(width, width)
        self.obj_layers = _Branch(width, 1)
        self.reg_layers = _Branch(width, 4)
        self.cls_layers = _Branch(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1x1(x)
        return torch.cat([self.obj_layers(x), self.reg_layers(x), self.cls_layers(x)], 1)


class FastestDet(nn.Module):
    """A detector of a quarter of a million weights, with one map of predictions at stride 16.

    The published network ends with a sigmoid for the object and a softmax for the category. They are in the system's
    loss and decoder, which take them where they are exact.

    Args:
        classes: number of categories.

    Reference:
        Xuehao Ma, FastestDet, 2022, github.com/dog-qiuqiu/FastestDet.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.backbone = Backbone()
        self.SPP = _Views(48 + 96 + 192, _WIDTH)
        self.detect_head = _Head(_WIDTH, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Raw maps (n, 1 + 4 + classes, h / 16, w / 16): object, box, categories.

        Args:
            images: BGR in [0, 1], float32 (n, 3, h, w), both multiples of 32.
        """
        fine, middle, coarse = self.backbone(images)
        coarse = F.interpolate(coarse, scale_factor=2.0, mode="nearest")
        fine = F.avg_pool2d(fine, 3, 2, 1)
        return self.detect_head(self.SPP(torch.cat([fine, middle, coarse], 1)))  # type: ignore[no-any-return]
