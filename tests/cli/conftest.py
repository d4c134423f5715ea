"""The command line in this process, with a task that trains in milliseconds beside the real ones."""

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
    monkeypatch.chdir(tmp_path)
    runner = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"})
    return lambda *arguments: runner.invoke(app, [str(argument) for argument in arguments])
