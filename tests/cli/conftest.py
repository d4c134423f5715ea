"""The command line in this process, with a task that trains in milliseconds beside the real ones."""

import importlib
import sys

import blobs
import pytest
from typer.testing import CliRunner

from slrprune.cli.app import app
from slrprune.tasks import registry


class Blobs(blobs.Blobs):
    """Four clouds of points.

    Args:
        noise: around the centers.
        data: a folder; it is not looked at.
    """

    def __init__(self, noise=0.5, data=None):
        super().__init__(noise=noise)
        self.data = data


@pytest.fixture
def slrprune(monkeypatch, tmp_path):
    """Calls `slrprune` with arguments, in an empty folder."""
    monkeypatch.setattr(registry, "_TASKS", {**registry._TASKS, "blobs": Blobs})
    monkeypatch.setattr(sys, "path", [*sys.path])  # a verb adds the folder of the user's own code
    monkeypatch.chdir(tmp_path)
    importlib.invalidate_caches()
    runner = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"})
    yield lambda *arguments: runner.invoke(app, [str(argument) for argument in arguments])
    for name, module in [*sys.modules.items()]:
        if str(vars(module).get("__file__")).startswith(str(tmp_path)):
            del sys.modules[name]
