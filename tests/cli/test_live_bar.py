"""The bar on a terminal, and the lines in a pipe."""

import io

import pytest

pytest.importorskip("rich")

from rich.console import Console

from slrprune.cli.live_bar import live_bar
from slrprune.cli.run_progress import RunProgress


def shown(*, terminal: bool) -> str:
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=100, color_system=None)
    with live_bar(console) as bar:
        observer = RunProgress(bar)
        observer.phase_began("prune", 40, 10)
        observer.step_made(20)
        observer.epoch_ended(1, 2, 0.5, 91.25)
        observer.noted("cut", "cut [now]")
        observer.noted("checkpoint", "saved")
    return file.getvalue()


def test_on_a_terminal_the_bar_tells_the_epoch():
    text = shown(terminal=True)
    assert "pruning, epoch 1/2: loss 0.500, 91.2% after the cut" in text
    assert "50%" in text
    assert "cut [now]\n" in text
    assert "saved" not in text


def test_in_a_pipe_there_are_lines_and_no_bar():
    assert shown(terminal=False) == "pruning, epoch 1/2: loss 0.500, 91.2% after the cut\ncut [now]\n"
