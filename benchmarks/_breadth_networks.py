"""Networks for digits: what they have in common is the task, and nothing else."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from slrprune.tasks import Digits


class _Rows(nn.Module):
    """A recurrent network over the eight rows of an image, from the top."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.GRU(8, 96, num_layers=2, batch_first=True)
        self.head = nn.Linear(96, 10)

    def forward(self, images: Tensor) -> Tensor:
        states, _ = self.rows(images.squeeze(1))
        logits: Tensor = self.head(states[:, -1])
        return logits


class _Patches(nn.Module):
    """A vision transformer: 16 patches of 2x2 pixels, three blocks of width 64, normalized before."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(1, 64, 2, stride=2)
        self.places = nn.Parameter(0.02 * torch.randn(1, 16, 64))
        block = nn.TransformerEncoderLayer(64, 4, 128, dropout=0.0, batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(block, 3, enable_nested_tensor=False)
        self.norm, self.head = nn.LayerNorm(64), nn.Linear(64, 10)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.embed(images).flatten(2).transpose(1, 2) + self.places
        logits: Tensor = self.head(self.norm(self.blocks(tokens).mean(dim=1)))
        return logits


def _mlp() -> nn.Module:
    """Three layers, no normalization."""
    widths = (nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))
    return nn.Sequential(nn.Flatten(), *widths)


def _layernorm_mlp() -> nn.Module:
    """Six layers, each but the last with LayerNorm."""
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs in (64, 128, 128, 128, 128):
        layers += [nn.Linear(inputs, 128), nn.LayerNorm(128), nn.GELU()]
    return nn.Sequential(*layers, nn.Linear(128, 10))


def _plain_cnn() -> nn.Module:
    """The shapes of the digits task's own network, without BatchNorm and skip."""
    layers: list[nn.Module] = []
    for inputs, outputs, stride in ((1, 24, 1), (24, 48, 2), (48, 48, 1), (48, 64, 2)):
        layers += [nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def _separable() -> nn.Module:
    """Depthwise and pointwise convolutions with BatchNorm, as in a MobileNet."""
    layers: list[nn.Module] = [nn.Conv2d(1, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU()]
    for inputs, outputs, stride in ((32, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2)):
        layers += [nn.Conv2d(inputs, inputs, 3, stride=stride, padding=1, groups=inputs, bias=False)]
        layers += [nn.BatchNorm2d(inputs), nn.ReLU()]
        layers += [nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, 10))


NETWORKS: Mapping[str, Callable[[], nn.Module]] = {
    "digits' own CNN": lambda: Digits().build_model(),
    "plain CNN": _plain_cnn,
    "separable CNN": _separable,
    "MLP": _mlp,
    "LayerNorm MLP": _layernorm_mlp,
    "GRU": _Rows,
    "transformer": _Patches,
}
