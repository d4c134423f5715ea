"""KITTI's 3-D object detection with PointPillars: files, network, detections, average precision."""

from slrprune.tasks.kitti.detect import Detections, detection_lines
from slrprune.tasks.kitti.network import Outputs, PointPillars
from slrprune.tasks.kitti.task import Kitti

__all__ = ["Detections", "Kitti", "Outputs", "PointPillars", "detection_lines"]
