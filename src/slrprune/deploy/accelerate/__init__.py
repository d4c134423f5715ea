"""A pruned model that is really faster: each layer on what was measured fastest for it, never slower than dense."""

from slrprune.deploy.accelerate.api import accelerate
from slrprune.deploy.accelerate.choices import Choices
from slrprune.deploy.accelerate.layer import Layout
from slrprune.deploy.accelerate.module import Accelerated
from slrprune.deploy.accelerate.report import AccelerateReport, LayerRow
from slrprune.deploy.accelerate.timing import InterleavedTimer, Timer

__all__ = [
    "AccelerateReport",
    "Accelerated",
    "Choices",
    "InterleavedTimer",
    "LayerRow",
    "Layout",
    "Timer",
    "accelerate",
]
