"""TuSimple's lane detection: files, two systems, the official metric."""

from slrprune.tasks.tusimple.metric import LaneScores, score
from slrprune.tasks.tusimple.system import LaneSystem
from slrprune.tasks.tusimple.task import SYSTEMS, Found, TuSimple

__all__ = ["SYSTEMS", "Found", "LaneScores", "LaneSystem", "TuSimple", "score"]
