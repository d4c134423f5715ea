"""VGG-16 in the form that is usual for CIFAR: BatchNorm, one linear layer in place of three.

Simonyan, Zisserman: Very Deep Convolutional Networks for Large-Scale Image Recognition, 2015, column D.
"""

import torch
from torch import Tensor, nn

STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""Channels and number of convolutions between two poolings."""


class VGG16Cifar(nn.Module):
    """13 convolutions of 3x3 with BatchNorm and a linear layer; images (n, 3, 32, 32) to logits (n, classes).

    Weights of convolutions are drawn from torch's current RNG (He normal initialization).

    Args:
        classes: number of classes, at least 2.
        stages: channels and number of convolutions before each of the five poolings.
    """

    def __init__(self, classes: int = 10, stages: tuple[tuple[int, int], ...] = STAGES) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for outputs, count in stages:
            for _ in range(count):
                layers += [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
                inputs = outputs
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.linear = nn.Linear(inputs, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """Logits of shape (n, classes)."""
        logits: Tensor = self.linear(torch.flatten(self.features(images), 1))
        return logits
