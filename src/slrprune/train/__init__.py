"""The built-in training loop, for those who have none of their own."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from slrprune.train.distillation import Distillation, Teacher
from slrprune.train.engine import Engine, Move, Plain
from slrprune.train.loop import Epoch, Training, train
from slrprune.train.retraining import RetrainingTrainer
from slrprune.train.trainer import DenseTrainer, PruningTrainer, Trainer, TrainerFactory

if TYPE_CHECKING:
    from slrprune.train.accelerated import Accelerated
    from slrprune.train.checkpoint import CheckpointWriteError
    from slrprune.train.interruption import Interrupted
    from slrprune.train.observer import Observer
    from slrprune.train.running import RunResult, resume, run

__all__ = [
    "Accelerated",
    "CheckpointWriteError",
    "DenseTrainer",
    "Distillation",
    "Engine",
    "Epoch",
    "Interrupted",
    "Move",
    "Observer",
    "Plain",
    "PruningTrainer",
    "RetrainingTrainer",
    "RunResult",
    "Teacher",
    "Trainer",
    "TrainerFactory",
    "Training",
    "resume",
    "run",
    "train",
]

# What needs the packages of the extra `train` is imported when it is first used: `slrprune.compare` works without them.
_HOMES = {
    "Accelerated": "accelerated",
    "CheckpointWriteError": "checkpoint",
    "Interrupted": "interruption",
    "Observer": "observer",
    "RunResult": "running",
    "resume": "running",
    "run": "running",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'slrprune.train' has no attribute {name!r}")
    value = getattr(import_module(f"slrprune.train.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
