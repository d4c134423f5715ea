"""A task that trains in milliseconds."""

import torch
from torch import nn

from slrprune.tasks import Labelled, SGDRecipe, TensorTask


class Blobs(TensorTask):
    """Four clouds of points in eight dimensions, 96 of them to train on.

    Args:
        noise: of the points around their centers.
        test: points of the test split.
        has_val: whether there is a "val" split.
        batch_size: of training batches.
    """

    name = "blobs"
    model_name = "mlp"
    dense_recipe = SGDRecipe(epochs=2, lr=0.1)
    pruning_recipe = SGDRecipe(epochs=4, lr=0.05)

    def __init__(self, *, noise=0.5, test=40, has_val=True, batch_size=8):
        generator = torch.Generator().manual_seed(0)
        centers = torch.randn(4, 8, generator=generator)

        def split(count):
            targets = torch.arange(count) % 4
            return Labelled(centers[targets] + noise * torch.randn(count, 8, generator=generator), targets)

        splits = {"train": split(96), "val": split(32), "test": split(test)}
        if not has_val:
            del splits["val"]
        super().__init__(splits, batch_size=batch_size)

    def build_model(self):
        """With BatchNorm."""
        return nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 4))
