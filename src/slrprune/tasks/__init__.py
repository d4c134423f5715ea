"""What to prune, ready to run: data, model, loss, metric and default recipes under one interface."""

from slrprune.tasks.augment import CropFlip
from slrprune.tasks.base import Batch, Split, Task
from slrprune.tasks.cifar10 import Cifar10
from slrprune.tasks.digits import Digits
from slrprune.tasks.recipe import AdamWRecipe, Recipe, SGDRecipe
from slrprune.tasks.registry import available, get, task_class
from slrprune.tasks.tally import Tally
from slrprune.tasks.tensor_task import Labelled, TensorTask

__all__ = [
    "AdamWRecipe",
    "Batch",
    "Cifar10",
    "CropFlip",
    "Digits",
    "Labelled",
    "Recipe",
    "SGDRecipe",
    "Split",
    "Tally",
    "Task",
    "TensorTask",
    "available",
    "get",
    "task_class",
]
