"""Runs that take a moment: a tiny task, and nothing measured or drawn."""

import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def configured():
    """A configuration of the tiny task, with further fields."""
    pytest.importorskip("accelerate", reason="runs need accelerate, of the extra train")
    pytest.importorskip("pydantic", reason="configurations need pydantic, of the extra train")
    from slrprune.config import make_config

    here = str(Path(__file__).parent)
    sys.path.insert(0, here)
    quiet = {"sparsity": 0.5, "tracker": "none", "latency": False, "report": False, "device": "cpu"}

    def make(**fields):
        return make_config(**({"task": "run_task:blobs"} | quiet | fields))

    yield make
    sys.path.remove(here)
