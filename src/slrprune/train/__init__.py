"""The built-in training loop, for those who have none of their own."""

from slrprune.train.loop import Epoch, Training, train
from slrprune.train.trainer import DenseTrainer, PruningTrainer, Trainer, TrainerFactory

__all__ = ["DenseTrainer", "Epoch", "PruningTrainer", "Trainer", "TrainerFactory", "Training", "train"]
