"""CIFAR ResNets of 20, 32, 44, 56 and 110 layers, and the public checkpoints that fit them.

He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition, 2016, section 4.2: three stages of 16, 32 and 64
channels, n blocks of two 3x3 convolutions each, 6n + 2 layers, shortcuts of option A (stride and zero channels, no
parameters). Parameter names are those of the widely used checkpoints of akamaster/pytorch_resnet_cifar10.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from slrprune.errors import ArgumentError

DEPTHS = (20, 32, 44, 56, 110)
"""The depths of the paper, all of the form 6n + 2."""


class ResNetCifar(nn.Module):
    """A CIFAR ResNet; images of shape (n, 3, h, w), h and w divisible by 4, to logits of shape (n, classes).

    Weights of convolutions and of the linear layer are drawn from torch's current RNG (He normal initialization).

    Args:
        depth: number of layers, one of 20, 32, 44, 56, 110.
        classes: number of classes, at least 2.

    Raises:
        ArgumentError: another depth.
    """

    def __init__(self, depth: int = 20, classes: int = 10) -> None:
        super().__init__()
        if depth not in DEPTHS:
            raise ArgumentError("ResNetCifar", "depth", depth, f"must be one of {', '.join(map(str, DEPTHS))}")
        blocks = (depth - 2) // 6
        self.conv1 = _conv3x3(3, 16)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = _stage(16, 16, blocks, stride=1)
        self.layer2 = _stage(16, 32, blocks, stride=2)
        self.layer3 = _stage(32, 64, blocks, stride=2)
        self.linear = nn.Linear(64, classes)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of shape (n, classes)."""
        features = F.relu(self.bn1(self.conv1(images)), inplace=True)
        features = self.layer3(self.layer2(self.layer1(features)))
        logits: Tensor = self.linear(features.mean(dim=(2, 3)))
        return logits


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut of option A.

    Args:
        inputs: channels of the input.
        outputs: channels of the output, at least `inputs`.
        stride: of the first convolution and of the shortcut, 1 or 2.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _conv3x3(inputs, outputs, stride)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = _conv3x3(outputs, outputs)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.stride = stride
        self.new_channels = outputs - inputs

    def forward(self, features: Tensor) -> Tensor:
        """Features of shape (n, outputs, h / stride, w / stride)."""
        inner = F.relu(self.bn1(self.conv1(features)), inplace=True)
        return F.relu(self.bn2(self.conv2(inner)) + self._shortcut(features), inplace=True)

    def _shortcut(self, features: Tensor) -> Tensor:
        if self.stride != 1:
            features = features[:, :, :: self.stride, :: self.stride]
        if self.new_channels:
            before = self.new_channels // 2
            features = F.pad(features, (0, 0, 0, 0, before, self.new_channels - before))
        return features


def _conv3x3(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=False)


def _stage(inputs: int, outputs: int, blocks: int, stride: int) -> nn.Sequential:
    first = BasicBlock(inputs, outputs, stride)
    return nn.Sequential(first, *(BasicBlock(outputs, outputs, 1) for _ in range(blocks - 1)))
