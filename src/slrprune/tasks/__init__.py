"""What to prune, ready to run: data, model, loss, metric and default recipes under one interface."""

from slrprune.tasks.augment import CropFlip
from slrprune.tasks.base import Batch, Split, Task
from slrprune.tasks.cifar10 import Cifar10
from slrprune.tasks.digits import Digits
from slrprune.tasks.graph import Graph
from slrprune.tasks.imagenet import ImageNet
from slrprune.tasks.recipe import AdamRecipe, AdamWRecipe, Recipe, SGDRecipe
from slrprune.tasks.registry import available, get, task_class
from slrprune.tasks.tally import Tally
from slrprune.tasks.tensor_task import Labelled, TensorTask
from slrprune.tasks.text import Text

__all__ = [
    "AdamRecipe",
    "AdamWRecipe",
    "Batch",
    "Cifar10",
    "CropFlip",
    "Digits",
    "Graph",
    "ImageNet",
    "Labelled",
    "Recipe",
    "SGDRecipe",
    "Split",
    "Tally",
    "Task",
    "TensorTask",
    "Text",
    "available",
    "get",
    "task_class",
]
