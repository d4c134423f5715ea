"""The YOLOv3 networks by their sizes, published ones and a small one."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from slrprune.tasks.coco.yolo.full import FullYolo
from slrprune.tasks.coco.yolo.tiny import TinyYolo

Anchors = tuple[tuple[float, float], ...]
"""Widths and heights in pixels of the published input."""


@dataclass(frozen=True)
class Design:
    """One network of the family.

    Attributes:
        name: for example "yolov3_tiny".
        size: height and width of the published input, pixels.
        strides: pixels from one cell to the next, of each output map, the coarsest first.
        anchors: published ones of each output map, in pixels of the published input.
        build: the network, from the number of channels of its output maps.
    """

    name: str
    size: tuple[int, int]
    strides: tuple[int, ...]
    anchors: tuple[Anchors, ...]
    build: Callable[[int], nn.Module]


def _tiny(outputs: int) -> nn.Module:
    return TinyYolo(outputs, width=16)


def _reduced(outputs: int) -> nn.Module:
    return TinyYolo(outputs, width=4)


_TINY_ANCHORS: tuple[Anchors, ...] = (((81, 82), (135, 169), (344, 319)), ((10, 14), (23, 27), (37, 58)))

YOLOV3 = Design(
    "yolov3",
    (416, 416),
    (32, 16, 8),
    (
        ((116, 90), (156, 198), (373, 326)),
        ((30, 61), (62, 45), (59, 119)),
        ((10, 13), (16, 30), (33, 23)),
    ),
    FullYolo,
)
"""Darknet-53 with three heads; 61,949,149 parameters for 80 categories."""

YOLOV3_TINY = Design("yolov3_tiny", (416, 416), (32, 16), _TINY_ANCHORS, _tiny)
"""Two heads; 8,852,366 parameters for 80 categories."""

YOLOV3_TINY_REDUCED = Design("yolov3_tiny_reduced", (96, 96), (32, 16), _TINY_ANCHORS, _reduced)
"""A quarter of the width, for tests."""
