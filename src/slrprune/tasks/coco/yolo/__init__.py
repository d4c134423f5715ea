"""YOLOv3 and YOLOv3-tiny: networks, anchors, loss, and the way from their outputs to boxes."""

from slrprune.tasks.coco.yolo.box_loss import BoxLoss, CompleteIoU, SquaredError
from slrprune.tasks.coco.yolo.design import YOLOV3, YOLOV3_TINY, YOLOV3_TINY_REDUCED, Design
from slrprune.tasks.coco.yolo.system import Yolo

__all__ = ["YOLOV3", "YOLOV3_TINY", "YOLOV3_TINY_REDUCED", "BoxLoss", "CompleteIoU", "Design", "SquaredError", "Yolo"]
