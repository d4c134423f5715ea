"""ResNet-18 and ResNet-50 in the form that is usual for CIFAR: the ImageNet networks with a stem for small images.

He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition, 2016, table 1, with a 3x3 convolution of stride 1 in
place of the 7x7 one and of the pooling. `slrprune.tasks.resnet_cifar` has the thin networks of the paper's section 4.2.
"""

from torch import Tensor, nn
from torch.nn import functional as F

WIDTHS = (64, 128, 256, 512)
"""Channels of the 3x3 convolutions in the four stages."""


class ResNetWideCifar(nn.Module):
    """A ResNet with four stages; images of shape (n, 3, h, w) to logits of shape (n, classes).

    Weights of convolutions are drawn from torch's current RNG (He normal initialization).

    Args:
        block: `BasicBlock` or `Bottleneck`.
        blocks: number of blocks in each of the four stages.
        classes: number of classes, at least 2.
        widths: channels of the 3x3 convolutions in the four stages; the stem has as many as the first.
    """

    def __init__(
        self,
        block: "type[BasicBlock] | type[Bottleneck]",
        blocks: tuple[int, int, int, int],
        classes: int = 10,
        widths: tuple[int, int, int, int] = WIDTHS,
    ) -> None:
        super().__init__()
        inputs, stages = widths[0], []
        self.conv1, self.bn1 = nn.Conv2d(3, inputs, 3, padding=1, bias=False), nn.BatchNorm2d(inputs)
        for width, count, first in zip(widths, blocks, (1, 2, 2, 2), strict=True):
            stage = []
            for stride in (first, *[1] * (count - 1)):
                stage.append(block(inputs, width, stride))
                inputs = width * block.expansion
            stages.append(nn.Sequential(*stage))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.linear = nn.Linear(inputs, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """Logits of shape (n, classes)."""
        features = F.relu(self.bn1(self.conv1(images)))
        features = self.layer4(self.layer3(self.layer2(self.layer1(features))))
        logits: Tensor = self.linear(features.mean(dim=(2, 3)))
        return logits


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, which is a 1x1 convolution where the shapes differ.

    Args:
        inputs: channels of the input.
        width: channels of the output.
        stride: of the first convolution and of the shortcut.
    """

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, width, 3, stride, padding=1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.shortcut = _shortcut(inputs, width, stride)

    def forward(self, features: Tensor) -> Tensor:
        """Features of shape (n, width, h / stride, w / stride)."""
        inner = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(features)))))
        return F.relu(inner + self.shortcut(features))


class Bottleneck(nn.Module):
    """Convolutions of 1x1, 3x3 and 1x1, the last of which makes four times as many channels; and a shortcut.

    Args:
        inputs: channels of the input.
        width: channels of the 3x3 convolution.
        stride: of the 3x3 convolution and of the shortcut.
    """

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = self.expansion * width
        self.conv1, self.bn1 = nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        self.shortcut = _shortcut(inputs, outputs, stride)

    def forward(self, features: Tensor) -> Tensor:
        """Features of shape (n, 4 * width, h / stride, w / stride)."""
        inner = F.relu(self.bn1(self.conv1(features)))
        inner = self.bn3(self.conv3(F.relu(self.bn2(self.conv2(inner)))))
        return F.relu(inner + self.shortcut(features))


def resnet18_cifar() -> ResNetWideCifar:
    """ResNet-18 for 10 classes: 11.2 million weights."""
    return ResNetWideCifar(BasicBlock, (2, 2, 2, 2))


def resnet50_cifar() -> ResNetWideCifar:
    """ResNet-50 for 10 classes: 23.5 million weights."""
    return ResNetWideCifar(Bottleneck, (3, 4, 6, 3))


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """Empty where nothing changes."""
    if stride == 1 and inputs == outputs:
        return nn.Sequential()
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
