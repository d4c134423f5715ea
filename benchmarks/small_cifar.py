"""CIFAR-10 at half the resolution, small enough for ablations on a CPU: the ground on which defaults are chosen.

20,000 training images and 10,000 for choices ("val"), both from CIFAR-10's training split, averaged down to 16x16.
The dense net is trained here, on the 20,000 alone, so that the validation split is clean. A ResNet-20 takes about a
quarter of the time that it takes at full size.
"""

from os import PathLike

import torch
from torch import Tensor
from torch.nn import functional as F

from slrprune.tasks.augment import CropFlip
from slrprune.tasks.cifar10 import MEAN, STD
from slrprune.tasks.cifar10_files import read_cifar10
from slrprune.tasks.recipe import SGDRecipe
from slrprune.tasks.resnet_cifar import ResNetCifar
from slrprune.tasks.split import stratified_holdout
from slrprune.tasks.tensor_task import Labelled, TensorTask

TRAIN, VAL = 20_000, 10_000


class SmallCifar(TensorTask):
    """ResNet-20 on 16x16 images; `data` and `bf16` as for `slrprune.tasks.Cifar10`."""

    name = "small_cifar"
    model_name = "resnet20"
    dense_recipe = SGDRecipe(epochs=15, lr=0.1, weight_decay=5e-4, warmup=0.1)
    pruning_recipe = SGDRecipe(epochs=6, lr=0.05, weight_decay=5e-4)

    def __init__(self, data: str | PathLike[str] | None = None, *, bf16: bool = False) -> None:
        images = read_cifar10(data, "train")
        used = images.where(stratified_holdout(images.targets, TRAIN + VAL))
        held_out = stratified_holdout(used.targets, VAL)
        splits = {
            "train": halved(used.where(~held_out)),
            "val": halved(used.where(held_out)),
            "test": halved(read_cifar10(data, "test")),
        }
        super().__init__(splits, augment=CropFlip(padding=2), bf16=bf16)
        self._mean = torch.tensor(MEAN).mul(255).reshape(1, 3, 1, 1)
        self._std = torch.tensor(STD).mul(255).reshape(1, 3, 1, 1)

    def build_model(self) -> ResNetCifar:
        """A ResNet-20 with fresh weights, in channels-last memory format."""
        return ResNetCifar(20).to(memory_format=torch.channels_last)

    def prepare(self, inputs: Tensor) -> Tensor:
        """As `Cifar10.prepare`."""
        images = inputs.to(torch.float32, memory_format=torch.channels_last)
        return images.sub_(self._mean).div_(self._std)


def halved(examples: Labelled) -> Labelled:
    """Each pixel the mean of a 2x2 square, uint8."""
    return Labelled(F.avg_pool2d(examples.inputs.float(), 2).round().to(torch.uint8), examples.targets)
