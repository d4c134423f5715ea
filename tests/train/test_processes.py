"""The loop on two processes (gloo): batches are shared out, one process writes, a stop is agreed on."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from safetensors.torch import load_file

from slrprune.errors import ArgumentError, DataError, SlrpruneError
from slrprune.train.engine import Plain, strided

HERE = Path(__file__).parent

PROGRAM = """
import os, signal, sys
from pathlib import Path
from slrprune.config import make_config
from slrprune.train import Interrupted, resume, run
from slrprune.train.observer import Silent

class Stopping(Silent):
    phase = ""
    def phase_began(self, phase, steps, made):
        self.phase = phase
    def step_made(self, made):
        if self.phase == "prune" and made == 3 and os.environ["RANK"] == "1":
            os.kill(os.getpid(), signal.SIGTERM)  # one process alone is asked to stop

quiet = {"tracker": "none", "latency": False, "report": False, "device": "cpu"}
config = make_config(task="run_task:even", sparsity=0.5, **quiet)
folder = Path(sys.argv[1])
try:
    run(config, folder, observer=Stopping())
except Interrupted as stop:
    assert stop.exit_code == 143
resume(folder)
"""


def torchrun(folder):
    """Both processes of a run that is stopped and gone on with."""
    program = folder / "program.py"
    program.write_text(PROGRAM)
    paths = [str(HERE), str(HERE.parent / "support"), *sys.path]
    found = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", program, folder / "two"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert found.returncode == 0, found.stderr
    return folder / "two"


def test_two_processes_train_what_one_does(configured, tmp_path):
    """In float64 and without BatchNorm, so that only the order of sums differs: SLR's masks at every step, too."""
    from slrprune.train import run

    one, two = run(configured(task="run_task:even"), tmp_path / "one").folder, torchrun(tmp_path)
    assert json.loads((two / "summary.json").read_text())["resumed"] == 1
    assert json.loads((two / "environment.json").read_text())["processes"] == 2
    assert [path.name for path in (two / "checkpoints").iterdir()] == ["step-00000012", "step-00000018"]
    a, b = load_file(one / "model.safetensors"), load_file(two / "model.safetensors")
    for name, tensor in a.items():
        torch.testing.assert_close(b[name], tensor, rtol=1e-9, atol=1e-12)
        assert torch.equal(tensor != 0, b[name] != 0)


def test_every_process_gets_its_part_of_every_batch():
    inputs, targets = torch.arange(6), torch.arange(12).reshape(6, 2)
    batch = (inputs, {"targets": targets, "names": ["a"], "scale": torch.tensor(2.0)})
    parts = [strided(batch, rank, 2, 6) for rank in (0, 1)]
    assert [part[0].tolist() for part in parts] == [[0, 2, 4], [1, 3, 5]]
    assert torch.equal(parts[1][1]["targets"], targets[1::2])
    assert parts[1][1]["names"] == ["a"]
    assert parts[1][1]["scale"] == 2.0


class Targets(NamedTuple):
    """As the driving tasks and the detectors have them."""

    boxes: torch.Tensor
    images: torch.Tensor


def test_named_tuples_of_a_batch_keep_their_names():
    inputs, targets = strided((torch.zeros(4), Targets(torch.arange(8).view(4, 2), torch.arange(4))), 1, 2, 4)
    assert inputs.shape == (2,)
    assert isinstance(targets, Targets)
    assert targets.boxes.tolist() == [[2, 3], [6, 7]]
    assert targets.images.tolist() == [1, 3]


class OneOfTwo(Plain):
    """A process of two; what the other said is known beforehand."""

    def __init__(self, rank, said_by_main=None):
        self.rank, self.said_by_main = rank, said_by_main

    def gathered(self, value):
        """By rank."""
        return [value, None] if self.is_main else [self.said_by_main, value]


def test_the_main_process_acts_and_gets_what_came_of_it():
    assert OneOfTwo(0).by_main(lambda: "made") == "made"
    assert OneOfTwo(1).by_main(lambda: pytest.fail("only the main process acts")) is None


@pytest.mark.parametrize("error", [DataError("runs/a", "is damaged"), OSError(28, "No space left on device")])
def test_what_fails_in_the_main_process_ends_all(error):
    def failing():
        raise error

    with pytest.raises(type(error)) as mine:
        OneOfTwo(0).by_main(failing)
    assert mine.value is error
    with pytest.raises(SlrpruneError, match=re.escape(str(error))):
        OneOfTwo(1, str(error)).by_main(failing)


def test_a_batch_that_cannot_be_shared_out_evenly_is_refused():
    with pytest.raises(
        ArgumentError, match=r"batch_size=7\): batch_size must be a multiple of the number of processes, 2"
    ):
        strided((torch.zeros(7),), 0, 2, 7)
