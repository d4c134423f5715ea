"""MobileNetV2 in the form that is usual for CIFAR: the first two halvings of the image are left out.

Sandler et al.: MobileNetV2: Inverted Residuals and Linear Bottlenecks, 2018, table 2.
"""

from torch import Tensor, nn

STAGES = ((1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, channels, number of blocks and stride of the first one; the table has stride 2 in the second stage."""


class MobileNetV2Cifar(nn.Module):
    """17 inverted residual blocks, 2.2 million weights; images of shape (n, 3, h, w) to logits of shape (n, classes).

    Weights of convolutions are drawn from torch's current RNG (He normal initialization).

    Args:
        classes: number of classes, at least 2.
    """

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        blocks: list[nn.Module] = [_convolution(3, 32, 3)]
        inputs = 32
        for expansion, outputs, count, first in STAGES:
            for stride in (first, *[1] * (count - 1)):
                blocks.append(InvertedResidual(inputs, outputs, stride, expansion))
                inputs = outputs
        self.features = nn.Sequential(*blocks, _convolution(inputs, 1280, 1))
        self.linear = nn.Linear(1280, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, images: Tensor) -> Tensor:
        """Logits of shape (n, classes)."""
        logits: Tensor = self.linear(self.features(images).mean(dim=(2, 3)))
        return logits


class InvertedResidual(nn.Module):
    """Widens, filters every channel by itself, and narrows again without an activation; a skip where shapes agree.

    Args:
        inputs: channels of the input.
        outputs: channels of the output.
        stride: of the middle convolution, 1 or 2.
        expansion: how many times wider the middle is.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = inputs * expansion
        widen = [_convolution(inputs, width, 1)] if expansion != 1 else []
        middle = _convolution(width, width, 3, stride, groups=width)
        narrow = [nn.Conv2d(width, outputs, 1, bias=False), nn.BatchNorm2d(outputs)]
        self.layers = nn.Sequential(*widen, middle, *narrow)
        self.has_skip = stride == 1 and inputs == outputs

    def forward(self, features: Tensor) -> Tensor:
        """Features of shape (n, outputs, h / stride, w / stride)."""
        inner: Tensor = self.layers(features)
        return inner + features if self.has_skip else inner


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution, BatchNorm and ReLU6."""
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU6())
