"""The command line in this process, with a task that trains in milliseconds beside the real ones."""

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from slrprune.cli.app import app
from slrprune.tasks import Labelled, SGDRecipe, TensorTask, registry


class Blobs(TensorTask):
    """Four clouds of points.

    Args:
        noise: around the centers.
    """

    name = "blobs"
    model_name = "mlp"
    dense_recipe = SGDRecipe(epochs=2, lr=0.1)
    pruning_recipe = SGDRecipe(epochs=4, lr=0.05)

    def __init__(self, noise=0.5, data=None):
        generator = torch.Generator().manual_seed(0)
        centers = torch.randn(4, 8, generator=generator)

        def split(count):
            targets = torch.arange(count) % 4
            return Labelled(centers[targets] + noise * torch.randn(count, 8, generator=generator), targets)

        super().__init__({"train": split(96), "val": split(32), "test": split(40)}, batch_size=8)
        self.data = data

    def build_model(self):
        return nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 4))


@pytest.fixture
def slrprune(monkeypatch, tmp_path):
    """Calls `slrprune` with arguments, in an empty folder."""
    monkeypatch.setattr(registry, "_TASKS", {**registry._TASKS, "blobs": Blobs})
    monkeypatch.chdir(tmp_path)
    runner = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"})
    return lambda *arguments: runner.invoke(app, [str(argument) for argument in arguments])
