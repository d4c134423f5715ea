"""Adapters are looked for in the repository's root, as `slrprune compare --rivals` does, and run on short digits."""

from dataclasses import replace
from pathlib import Path

import pytest

from slrprune.compare import Plan, Target, arms, compare
from slrprune.tasks import Digits

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch):
    monkeypatch.syspath_prepend(str(REPOSITORY))
    monkeypatch.setattr(arms, "_REGISTRY", dict(arms._REGISTRY))


@pytest.fixture
def short_digits():
    """Digits with 19 steps an epoch and one epoch of dense training."""
    task = Digits()
    task.dense_recipe = replace(task.dense_recipe, epochs=1)
    return task


@pytest.fixture
def records_of(short_digits, tmp_path):
    """Runs arms on short digits for two epochs."""

    def run(*contestants, target=None, epochs=2):
        target = target or Target.at(0.9)
        return compare(short_digits, Plan(contestants, (target,), epochs, (0,)), tmp_path)

    return run
