"""Ways of detecting objects by their names."""

from collections.abc import Callable
from types import MappingProxyType

from slrprune.errors import ArgumentError, suggestion
from slrprune.tasks.coco.system import DetectionSystem


def _yolov3(size: tuple[int, int] | None, classes: int) -> DetectionSystem:
    from slrprune.tasks.coco.yolo import YOLOV3, Yolo

    return Yolo(YOLOV3, size, classes)


def _yolov3_tiny(size: tuple[int, int] | None, classes: int) -> DetectionSystem:
    from slrprune.tasks.coco.yolo import YOLOV3_TINY, Yolo

    return Yolo(YOLOV3_TINY, size, classes)


def _yolov3_tiny_reduced(size: tuple[int, int] | None, classes: int) -> DetectionSystem:
    from slrprune.tasks.coco.yolo import YOLOV3_TINY_REDUCED, Yolo

    return Yolo(YOLOV3_TINY_REDUCED, size, classes)


def _fastestdet(size: tuple[int, int] | None, classes: int) -> DetectionSystem:
    from slrprune.tasks.coco.fastestdet import FastestDetSystem

    return FastestDetSystem(size, classes)


def _torchvision(name: str, size: tuple[int, int] | None, classes: int) -> DetectionSystem:
    from slrprune.tasks.coco.torchvision_system import TorchvisionSystem

    return TorchvisionSystem(name, size, classes)


def _transformers(name: str, size: tuple[int, int] | None, classes: int) -> DetectionSystem:
    from slrprune.tasks.coco.transformers_system import TransformersSystem

    return TransformersSystem(name, size, classes)


_OURS: MappingProxyType[str, Callable[[tuple[int, int] | None, int], DetectionSystem]] = MappingProxyType(
    {
        "yolov3": _yolov3,
        "yolov3_tiny": _yolov3_tiny,
        "yolov3_tiny_reduced": _yolov3_tiny_reduced,
        "fastestdet": _fastestdet,
    }
)

_OTHERS: MappingProxyType[str, Callable[[str, tuple[int, int] | None, int], DetectionSystem]] = MappingProxyType(
    {"torchvision": _torchvision, "transformers": _transformers}
)

NAMES: tuple[str, ...] = tuple(_OURS)
"""Networks written here; besides them "torchvision:NAME" and "transformers:NAME"."""


def system_named(name: str, size: tuple[int, int] | None, classes: int) -> DetectionSystem:
    """The system of that name.

    Args:
        name: one of `NAMES`, or "torchvision:" or "transformers:" and the name of a detector there.
        size: height and width of the network's input in pixels; None takes the published ones.
        classes: number of categories, at least 1.

    Raises:
        ArgumentError: an unknown name, a size that the network cannot take, no classes.
        MissingExtraError: torchvision or transformers is not installed.
    """
    if classes < 1:
        raise ArgumentError("system_named", "classes", classes, "must be at least 1")
    if name in _OURS:
        return _OURS[name](size, classes)
    library, colon, model = name.partition(":")
    if colon and model and library in _OTHERS:
        return _OTHERS[library](model, size, classes)
    rule = f"must be one of {', '.join(NAMES)}, torchvision:NAME or transformers:NAME"
    raise ArgumentError("system_named", "name", name, rule, suggestion(name, NAMES, "The closest is {}."))
