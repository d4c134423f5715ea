"""Tasks for runs in this folder's tests, named in configurations as `run_task:blobs` and so on."""

import blobs as support
import torch
from torch import nn
from torch.nn import functional

from slrprune.tasks import SGDRecipe


class Blobs(support.Blobs):
    """Four epochs of six batches, with dropout."""

    dense_recipe = SGDRecipe(epochs=1, lr=0.1)
    pruning_recipe = SGDRecipe(epochs=3, lr=0.05)

    def __init__(self, batch_size=16, has_val=True):
        super().__init__(batch_size=batch_size, has_val=has_val)

    def build_model(self):
        """With BatchNorm and dropout."""
        return nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 4))


class Poisoned(Blobs):
    """Its loss becomes NaN at the tenth step of pruning."""

    calls = 0

    def loss(self, model, batch):
        """NaN once."""
        self.calls += 1
        return super().loss(model, batch) * (float("nan") if self.calls == 16 else 1.0)


class Detailed(Blobs):
    """Tells two further figures in the pass of the metric, one of which cannot be had."""

    name = "detailed"

    def __init__(self):
        super().__init__()
        self.passes = []

    def details(self, model, split):
        """With the metric."""
        self.passes.append(split)
        accuracy = super().evaluate(model, split)
        return {"error rate": 100 - accuracy, "precision": float("nan"), self.metric: accuracy}

    def evaluate(self, model, split):
        """Not on the final split, which one pass is enough for."""
        assert split == "val"
        return super().evaluate(model, split)


class Unknown(Blobs):
    """Its metric cannot be had."""

    def evaluate(self, model, split):
        """NaN."""
        return float("nan")


class Wide(Blobs):
    """Another model under the same name."""

    def build_model(self):
        """Wider."""
        return nn.Sequential(nn.Linear(8, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Linear(24, 4))


class Inside(nn.Module):
    """A model that holds another one as its attribute `module`, as wrappers do."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, inputs):
        """That of the other one."""
        return self.module(inputs)


class Wrapped(Blobs):
    """The plain one's model within another."""

    def build_model(self):
        """The same weights from the same seed."""
        return Inside(super().build_model())


class Compiled(Blobs):
    """The plain one's model compiled."""

    def build_model(self):
        """The same weights from the same seed."""
        return torch.compile(super().build_model(), backend="eager")


class Even(Blobs):
    """In float64, and no batch statistics: the mean over processes is the mean over the batch."""

    def build_model(self):
        """Two linear layers."""
        return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)).double()

    def prepare(self, inputs):
        """To float64."""
        return inputs.double()

    def loss(self, model, batch):
        """In float64 throughout."""
        inputs, targets = batch
        return functional.cross_entropy(model(inputs), targets)


def even():
    """For several processes."""
    return Even()


def blobs(batch_size=16, has_val=True):
    """The plain one."""
    return Blobs(batch_size, has_val)


def wrapped():
    """Names with a prefix."""
    return Wrapped()


def compiled():
    """Names with another prefix."""
    return Compiled()


def poisoned():
    """Diverges."""
    return Poisoned()


def detailed():
    """Further figures."""
    return Detailed()


def unknown():
    """No figure at all."""
    return Unknown()


def no_split():
    """Nothing to judge by."""
    task = Blobs()
    task.splits = {"train": task.splits["train"]}
    return task
