"""Checkpoints: folders of safetensors and JSON that are there completely or not at all."""

from slrprune.train.checkpoint.errors import CheckpointWriteError
from slrprune.train.checkpoint.store import Checkpoints, Found

__all__ = ["CheckpointWriteError", "Checkpoints", "Found"]
