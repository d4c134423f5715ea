"""Runs that a signal stops at a chosen step, and whether two runs ended with the same bits."""

import os
import signal

import pytest
import torch
from safetensors.torch import load_file

from slrprune.train import Interrupted, run


def weights(folder):
    return load_file(folder / "model.safetensors")


def same_weights(a, b):
    a, b = weights(a), weights(b)
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)


class Stopping:
    """An observer that sends this process a signal at a step of pruning."""

    def __init__(self, step, signum=signal.SIGINT, phase="prune"):
        self.step, self.signum, self.wanted, self.phase, self.notes = step, signum, phase, "", []

    def phase_began(self, phase, steps, made):
        self.phase = phase

    def step_made(self, made):
        if self.phase == self.wanted and made == self.step:
            os.kill(os.getpid(), self.signum)

    def epoch_ended(self, number, epochs, loss, accuracy):
        pass

    def noted(self, event, text):
        self.notes.append((event, text))


def stopped(config, folder, step, **options):
    with pytest.raises(Interrupted) as stop:
        run(config, folder, observer=Stopping(step, **options))
    return stop.value
