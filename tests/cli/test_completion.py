"""What a shell is offered when TAB is pressed."""

import os
import subprocess
import sys

import pytest

from slrprune.cli.completion import TASKS
from slrprune.tasks import available

PROGRAM = (
    "import sys; from slrprune.cli import main\n"
    "sys.argv = ['slrprune']\n"
    "try: main()\n"
    "finally: print([name for name in ('torch', 'numpy') if name in sys.modules], file=sys.stderr)"
)


def offered(line: str) -> list[str]:
    """What bash is offered at the end of a line; nothing heavy may have been imported for it."""
    words = {"COMP_WORDS": line, "COMP_CWORD": str(line.count(" ")), "_SLRPRUNE_COMPLETE": "complete_bash"}
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, env={**os.environ, **words}, check=False
    )
    assert result.stderr.strip() == "[]"
    return result.stdout.split()


def test_the_names_are_those_of_the_registry():
    assert available() == TASKS, "bring slrprune.cli.completion.TASKS up to date"


@pytest.mark.parametrize("verb", ["prune", "compare", "sensitivity", "inspect", "plan", "bench"])
def test_a_task_is_completed(verb):
    assert offered(f"slrprune {verb} cif") == ["cifar10"]


def test_all_tasks_are_offered_at_the_start_of_a_word():
    assert offered("slrprune prune ") == list(TASKS)


def test_verbs_are_still_completed():
    assert offered("slrprune sens") == ["sensitivity"]
