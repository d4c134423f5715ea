"""The network of YOLOv3-tiny."""

import torch
from torch import Tensor, nn

from slrprune.tasks.coco.yolo.layers import Enlarge, Head, Unit


class TinyYolo(nn.Module):
    """Seven units with pooling between them, and two heads.

    Args:
        outputs: channels of each output map.
        width: channels of the first unit, 16 as published; all others are multiples of it.

    Reference:
        J. Redmon, A. Farhadi, "YOLOv3: an incremental improvement", 2018; layers as in its yolov3-tiny.cfg.
    """

    def __init__(self, outputs: int, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [Unit(3, width, 3)]
        for power in range(4):
            layers += [nn.MaxPool2d(2, 2), Unit(width << power, width << (power + 1), 3)]
        self.fine = nn.Sequential(*layers)
        self.coarse = nn.Sequential(
            nn.MaxPool2d(2, 2),
            Unit(16 * width, 32 * width, 3),
            # Pooling with stride 1 keeps the size; the last row and column have themselves as neighbours.
            nn.ReplicationPad2d((0, 1, 0, 1)),
            nn.MaxPool2d(2, 1),
            Unit(32 * width, 64 * width, 3),
            Unit(64 * width, 16 * width, 1),
        )
        self.coarse_head = Head(16 * width, 32 * width, outputs)
        self.to_fine = Enlarge(16 * width)
        self.fine_head = Head(8 * width + 16 * width, 16 * width, outputs)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Raw maps (n, outputs, h / 32, w / 32) and (n, outputs, h / 16, w / 16).

        Args:
            images: RGB in [0, 1], float32 (n, 3, h, w), both multiples of 32.
        """
        fine = self.fine(images)
        coarse = self.coarse(fine)
        fine = torch.cat([self.to_fine(coarse), fine], 1)
        return self.coarse_head(coarse), self.fine_head(fine)
