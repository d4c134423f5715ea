"""Darknet-53, the backbone of YOLOv3."""

from torch import Tensor, nn

from slrprune.tasks.coco.yolo.layers import Unit


class Residual(nn.Module):
    """A 1x1 unit to half of the channels and a 3x3 unit back, added to what came in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.narrow = Unit(channels, channels // 2, 1)
        self.wide = Unit(channels // 2, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        return x + self.wide(self.narrow(x))  # type: ignore[no-any-return]


def _stage(channels: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(Unit(channels // 2, channels, 3, stride=2), *(Residual(channels) for _ in range(blocks)))


class Darknet53(nn.Module):
    """The 52 convolutions of Darknet-53, without the classifier.

    Reference:
        J. Redmon, A. Farhadi, "YOLOv3: an incremental improvement", 2018, table 1.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(Unit(3, 32, 3), _stage(64, 1), _stage(128, 2), _stage(256, 8))
        self.second = _stage(512, 8)
        self.third = _stage(1024, 4)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Maps of 1024, 512 and 256 channels at strides 32, 16 and 8, from (n, 3, h, w)."""
        fine = self.first(images)
        middle = self.second(fine)
        return self.third(middle), middle, fine
