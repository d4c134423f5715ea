"""Objects in photographs: the COCO format, its metric, and networks that detect."""

from slrprune.tasks.coco.task import Coco

__all__ = ["Coco"]
