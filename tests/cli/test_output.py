"""What goes where: results to stdout, all else to stderr; nothing is cut off, no color where none is wanted."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from slrprune.cli.tables import show_table

QUICK = ("--methods", "one_shot", "--seeds", "1", "--epochs", "1", "--workers", "1")
MINE = """
import torch
def net():
    return torch.nn.Sequential(torch.nn.Linear(16, 16)), torch.randn(1, 16)
"""
LONG = "a_stage_with_a_long_name.blocks.11.attention.projection.weight"


@pytest.mark.parametrize(
    "arguments",
    [
        ("tasks",),
        ("inspect", "mine.py:net"),
        ("sensitivity", "blobs"),
        ("plan", "mine.py:net", "--threads", "1"),
        ("bench", "mine.py:net", "--threads", "1"),
        ("compare", "blobs", *QUICK),
        ("table", "runs/blobs"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_every_table_is_there_as_json_alone_on_stdout(slrprune, arguments):
    Path("mine.py").write_text(MINE)
    if arguments[0] == "table":
        slrprune("compare", "blobs", *QUICK)
    result = slrprune(*arguments, "--json")
    assert result.exit_code == 0
    assert isinstance(json.loads(result.stdout), dict)


def _printed(width, is_terminal, **settings):
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=is_terminal, **settings)
    show_table(console, ("layer", "note", "weights"), [(LONG, "[bold]as it is[/bold]", "1,234")], texts=2)
    return stream.getvalue()


@pytest.mark.parametrize("width", [30, 80, 300])
@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_table_is_never_wider_than_its_place_nor_cut_off(width, is_terminal):
    text = _printed(width, is_terminal, no_color=True)
    plain = text.replace("\x1b[1m", "").replace("\x1b[0m", "")
    assert max(map(len, plain.splitlines())) <= width
    letters = "".join(plain.split())
    assert "…" not in letters
    assert letters.count("[") == 2  # markup of the user's own is text
    if width == 300:
        assert LONG in plain


def test_a_pipe_gets_no_boxes_and_no_colors():
    text = _printed(300, False)
    assert text.isascii()
    assert "\x1b" not in text
    assert len(text.splitlines()) == 2


def test_no_color_is_honored_in_a_terminal(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    stream = io.StringIO()
    Console(file=stream, force_terminal=True, width=80).print("red", style="red")
    assert "\x1b[31" not in stream.getvalue()


def test_a_reader_that_goes_early_is_no_error(slrprune, monkeypatch):
    def gone(*args, **kwargs):
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr("slrprune.cli.tasks.print_json", gone)
    result = slrprune("tasks", "--json")
    assert result.exit_code == 1
    assert "Broken pipe" not in result.stderr
