"""The BCCD task with the settings of every figure in docs/bccd.md."""

from pathlib import Path

from slrprune.tasks.coco.task import Coco

SIZES = {"yolov3_tiny": (192, 256), "fastestdet": (288, 384)}
"""Height and width of the networks' inputs; the photographs have 480 x 640."""


def bccd_task(data: Path, system: str, **options: object) -> Coco:
    """Eight images a batch; flips both ways, a zoom and colors, since cells under a microscope have no up.

    Args:
        data: folder that `bccd_to_coco.py` wrote.
        system: "yolov3_tiny" or "fastestdet".
        options: more of `Coco`'s.
    """
    return Coco(data, system=system, size=SIZES[system], augment="slide", batch_size=8, **options)  # type: ignore[arg-type]
