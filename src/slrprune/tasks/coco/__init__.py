"""Objects in photographs: the COCO format, its metric, and networks that detect."""

from slrprune.tasks.coco.augment import Augmentation
from slrprune.tasks.coco.bootstrap import Drop, drop_interval
from slrprune.tasks.coco.metric import Found, Judged, Precisions
from slrprune.tasks.coco.segmentation import CocoSegmentation
from slrprune.tasks.coco.system import Detections, DetectionSystem, Objects
from slrprune.tasks.coco.task import Coco

__all__ = [
    "Augmentation",
    "Coco",
    "CocoSegmentation",
    "DetectionSystem",
    "Detections",
    "Drop",
    "Found",
    "Judged",
    "Objects",
    "Precisions",
    "drop_interval",
]
