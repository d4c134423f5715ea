"""Pruned channels really removed: the model gets smaller, and computes the same."""

from slrprune.deploy.shrink.report import LayerCut, Leftover, ShrinkReport
from slrprune.deploy.shrink.resize import resize_model_
from slrprune.deploy.shrink.rounds import shrink

__all__ = ["LayerCut", "Leftover", "ShrinkReport", "resize_model_", "shrink"]
