"""The built-in training loop, for those who have none of their own."""

from slrprune.train.distillation import Distillation, Teacher
from slrprune.train.loop import Epoch, Training, train
from slrprune.train.retraining import RetrainingTrainer
from slrprune.train.trainer import DenseTrainer, PruningTrainer, Trainer, TrainerFactory

__all__ = [
    "DenseTrainer",
    "Distillation",
    "Epoch",
    "PruningTrainer",
    "RetrainingTrainer",
    "Teacher",
    "Trainer",
    "TrainerFactory",
    "Training",
    "train",
]
