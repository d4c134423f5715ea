"""The backbone of FastestDet: ShuffleNetV2 with its channels split by turns.

The names of the parts are those of the published file of weights.
"""

import torch
from torch import Tensor, nn


def pointwise(inputs: int, outputs: int, *after: nn.Module) -> list[nn.Module]:
    """A 1x1 convolution, BatchNorm, and what comes after."""
    return [nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs), *after]


def depthwise(channels: int, kernel: int, stride: int, *after: nn.Module) -> list[nn.Module]:
    """A convolution of each channel by itself, BatchNorm, and what comes after."""
    layer = nn.Conv2d(channels, channels, kernel, stride, kernel // 2, groups=channels, bias=False)
    return [layer, nn.BatchNorm2d(channels), *after]


def _main(inputs: int, outputs: int, middle: int, stride: int) -> nn.Sequential:
    first = pointwise(inputs, middle, nn.ReLU())
    return nn.Sequential(*first, *depthwise(middle, 3, stride), *pointwise(middle, outputs, nn.ReLU()))


class Halving(nn.Module):
    """Halves height and width; both halves of the channels are made anew."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.branch_main = _main(inputs, outputs - inputs, outputs // 2, 2)
        self.branch_proj = nn.Sequential(*depthwise(inputs, 3, 2), *pointwise(inputs, inputs, nn.ReLU()))

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) gives (n, outputs, h / 2, w / 2)."""
        return torch.cat([self.branch_proj(x), self.branch_main(x)], 1)


class Passing(nn.Module):
    """Every second channel passes unchanged, the others go through the layers."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.branch_main = _main(half, half, half, 1)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        return torch.cat([x[:, 0::2], self.branch_main(x[:, 1::2])], 1)


def _stage(inputs: int, outputs: int, units: int) -> nn.Sequential:
    return nn.Sequential(Halving(inputs, outputs), *(Passing(outputs) for _ in range(units - 1)))


class Backbone(nn.Module):
    """Three stages of 4, 8 and 4 units.

    Reference:
        N. Ma et al., "ShuffleNet V2", ECCV 2018, figure 3; widths as in the published weights.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first_conv = nn.Sequential(nn.Conv2d(3, 24, 3, 2, 1, bias=False), nn.BatchNorm2d(24), nn.ReLU())
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.stage2 = _stage(24, 48, 4)
        self.stage3 = _stage(48, 96, 8)
        self.stage4 = _stage(96, 192, 4)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Maps of 48, 96 and 192 channels at strides 8, 16 and 32, from (n, 3, h, w)."""
        fine = self.stage2(self.maxpool(self.first_conv(images)))
        middle = self.stage3(fine)
        return fine, middle, self.stage4(middle)
