"""A task that trains in milliseconds, and records made by hand."""

from pathlib import Path

import blobs
import pytest

from slrprune.compare import Plan, RunRecord, Target, find


class Blobs(blobs.Blobs):
    """May come with trained weights, and counts the looks at its test split."""

    def __init__(self, *, weights=None, **settings):
        super().__init__(**settings)
        self.weights = weights
        self.looks_at_test = 0

    def pretrained(self):
        if self.weights is None:
            return None
        model = self.build_model()
        model.load_state_dict(self.weights)
        return model


class Counting:
    """An observer that writes down what it is told."""

    def __init__(self):
        self.plan, self.epochs, self.ended = None, [], []

    def planned(self, epochs, runs, finished):
        self.plan = (epochs, runs, finished)

    def epoch_ended(self, label, number, accuracy):
        self.epochs.append((label, number, accuracy))

    def run_ended(self, record):
        self.ended.append((record.method, record.target, record.seed))


@pytest.fixture
def blobs():
    """The class of the task."""
    return Blobs


@pytest.fixture
def counting():
    """An observer."""
    return Counting


@pytest.fixture
def plan_of():
    """Makes a plan of 4 epochs from names of arms."""

    def make(*names, sparsities=(0.5,), seeds=(0,), epochs=4, curve_split=None):
        targets = tuple(Target.at(sparsity) for sparsity in sparsities)
        return Plan(find(names), targets, epochs, tuple(seeds), curve_split)

    return make


@pytest.fixture
def record_of():
    """Makes a record from the little that a test is about."""

    def make(method="slr", seed=0, accuracy=90.0, **fields):
        known = {
            "task": "digits",
            "model": "cnn",
            "method": method,
            "method_settings": f"{method}()",
            "target": "90%",
            "rules": "Global(sparsity=0.9)",
            "sparsity": 0.9,
            "epochs": 2,
            "seed": seed,
            "recipe": "SGD",
            "conditions": "c0",
            "identity": f"{method}-{seed}",
            "dense_accuracy": 95.0,
            "test_accuracy_after_cut": accuracy,
            "sparsity_reached": 0.9,
            "compression": 10.0,
            "model_compression": 8.0,
            "wall_time_s": 2.0,
        }
        return RunRecord(**known | fields)

    return make


@pytest.fixture
def saved(tmp_path: Path):
    """Saves records into a folder under their identities, and returns the folder."""

    def save(*records: RunRecord) -> Path:
        for record in records:
            record.save(tmp_path / f"{record.identity}.json")
        return tmp_path

    return save
