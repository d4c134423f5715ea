"""FastestDet: the network, its loss, and the way from its outputs to boxes."""

from slrprune.tasks.coco.fastestdet.network import FastestDet
from slrprune.tasks.coco.fastestdet.system import FastestDetSystem

__all__ = ["FastestDet", "FastestDetSystem"]
