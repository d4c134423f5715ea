"""The network of YOLOv3."""

import torch
from torch import Tensor, nn

from slrprune.tasks.coco.yolo.darknet import Darknet53
from slrprune.tasks.coco.yolo.layers import Enlarge, Head, Unit


def _neck(inputs: int, channels: int) -> nn.Sequential:
    """Five units, 1x1 and 3x3 in turn."""
    wide = 2 * channels
    return nn.Sequential(
        Unit(inputs, channels, 1),
        Unit(channels, wide, 3),
        Unit(wide, channels, 1),
        Unit(channels, wide, 3),
        Unit(wide, channels, 1),
    )


class FullYolo(nn.Module):
    """Darknet-53 and three heads; each finer one sees the enlarged features of the coarser one.

    Args:
        outputs: channels of each output map.

    Reference:
        J. Redmon, A. Farhadi, "YOLOv3: an incremental improvement", 2018, section 2.3.
    """

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.backbone = Darknet53()
        self.coarse_neck, self.coarse_head = _neck(1024, 512), Head(512, 1024, outputs)
        self.to_middle = Enlarge(512)
        self.middle_neck, self.middle_head = _neck(256 + 512, 256), Head(256, 512, outputs)
        self.to_fine = Enlarge(256)
        self.fine_neck, self.fine_head = _neck(128 + 256, 128), Head(128, 256, outputs)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Raw maps (n, outputs, h / s, w / s) for s of 32, 16 and 8.

        Args:
            images: RGB in [0, 1], float32 (n, 3, h, w), both multiples of 32.
        """
        coarse, middle, fine = self.backbone(images)
        coarse = self.coarse_neck(coarse)
        middle = self.middle_neck(torch.cat([self.to_middle(coarse), middle], 1))
        fine = self.fine_neck(torch.cat([self.to_fine(middle), fine], 1))
        return self.coarse_head(coarse), self.middle_head(middle), self.fine_head(fine)
