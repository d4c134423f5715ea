"""Runs that are killed with SIGKILL at random moments, also in the middle of a write, and gone on with."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="forks its runs"),
    pytest.mark.filterwarnings("default"),
]


def killed(folder, kills, seed):
    paths = [str(HERE), str(HERE.parent / "support"), *sys.path]
    found = subprocess.run(
        [sys.executable, str(HERE / "kill_driver.py"), str(folder), "--kills", str(kills), "--seed", str(seed)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout.splitlines()[-1])


def test_five_kills_change_nothing(tmp_path):
    found = killed(tmp_path, 5, seed=0)
    assert found["differing"] == []
    assert sum(found["kills"].values()) == 5
    assert all(found["kills"].values())
    assert found["resumes"] > 0


@pytest.mark.slow
def test_thirty_kills_change_nothing(tmp_path):
    found = killed(tmp_path, 30, seed=1)
    assert found["differing"] == []
    assert sum(found["kills"].values()) == 30
    assert all(found["kills"].values())
    assert found["resumes"] > 10
