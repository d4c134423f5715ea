"""Every verb's help ends with one example, and the example is a command line that works."""

import contextlib
import re
import shlex
from pathlib import Path

import pytest
import typer.main

from slrprune.cli.app import VERBS, app

REPOSITORY = Path(__file__).resolve().parents[2]
NAMES = [verb.__name__.replace("_", "-") for verb in VERBS]
EXAMPLES = dict(zip(NAMES, VERBS.values(), strict=True))


def test_the_help_lists_every_verb_in_full(slrprune):
    text = slrprune("--help").stdout
    lines = text.partition("Commands:")[2].splitlines()
    assert [line.split()[0] for line in lines if line.startswith("  ") and line[2] != " "][: len(NAMES)] == NAMES
    assert not [line for line in lines if line.endswith("...")]  # no summary was cut off
    assert "--install-completion" in text


@pytest.mark.parametrize("verb", NAMES)
def test_help_ends_with_the_example(slrprune, verb):
    result = slrprune(verb, "--help")
    assert result.exit_code == 0
    assert result.stdout.rstrip().splitlines()[-2:] == ["  Example:", f"    {EXAMPLES[verb]}"]
    assert EXAMPLES[verb].startswith(f"slrprune {verb}")


def understood(line):
    """Parses a command line as `slrprune` would, without running the verb; raises where it cannot."""
    _, verb, *words = shlex.split(line)
    group = typer.main.get_command(app)
    with group.make_context("slrprune", [verb], resilient_parsing=True) as context:
        command = group.get_command(context, verb)
        assert command is not None, line
        with command.make_context(verb, words, parent=context):
            pass


@pytest.mark.parametrize("verb", NAMES)
def test_the_example_is_understood(verb):
    understood(EXAMPLES[verb])


def test_a_wrong_line_is_not_understood():
    with pytest.raises(Exception, match="No such option: --sparse"):
        understood("slrprune plan digits --sparse 0.9")


def test_the_page_shows_every_verb_with_its_example():
    text = (REPOSITORY / "docs" / "cli.md").read_text(encoding="utf-8")
    for verb, example in EXAMPLES.items():
        assert f"| `{verb}` |" in text
        assert f"| `{example}` |" in text


@pytest.mark.parametrize("page", ["README.md", "docs/cli.md"])
def test_every_command_of_a_page_is_understood(page):
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    blocks = re.findall(r"```(?:console|bash|sh)\n(.*?)```", text, re.DOTALL)
    lines = [line.partition(" #")[0] for block in blocks for line in block.splitlines()]
    commands = [line for line in lines if line.startswith("slrprune ")]
    commands += [word for word in re.findall(r"`(slrprune [^`]*--[^`]*)`", text) if not word.split()[1].startswith("-")]
    assert commands
    for command in commands:
        if "VERB" not in command:
            understood(" ".join(command.split()))


def verbs_with(option):
    commands = typer.main.get_command(app).commands
    return {verb for verb, command in commands.items() if any(option in entry.opts for entry in command.params)}


def test_the_page_says_which_verb_takes_which_option():
    text = (REPOSITORY / "docs/cli.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(--[^`]*)` \|.*\| ([^|]*) \|$", text, re.MULTILINE)
    assert len(rows) == 5
    told = {option: set(re.findall(r"`([a-z]+)`", verbs)) for option, verbs in rows}
    assert told["--set NAME"] | told["--set key=value"] == verbs_with("--set")
    for option in ("--sparsity S", "--dense PATTERN", "--rule 'pattern=SET'"):
        assert told[option] == verbs_with(option.split()[0]), option
    assert verbs_with("--option") == told["--sparsity S"] - {"demo", "oneshot"}


@pytest.mark.parametrize("verb", ["tasks", "new-task", "inspect"])
def test_the_quick_examples_run(slrprune, verb):
    if verb == "inspect":
        pytest.importorskip("sklearn", reason="digits need scikit-learn, of the extra demo")
    result = slrprune(*shlex.split(EXAMPLES[verb])[1:])
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout


@pytest.mark.parametrize(
    ("word", "closest"), [("compar", "compare"), ("sensitivty", "sensitivity"), ("export_", "export"), ("PLAN", "plan")]
)
def test_an_unknown_verb_is_told_the_closest(slrprune, word, closest):
    result = slrprune(word)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"Error: there is no verb '{word}'. The closest is '{closest}'." in result.stderr
    far = slrprune("xyz")
    assert "Error: there is no verb 'xyz'. slrprune --help lists what there is." in far.stderr


def test_completion_offers_the_verbs(slrprune, monkeypatch):
    for name, value in {"_SLRPRUNE_COMPLETE": "complete_bash", "COMP_WORDS": "slrprune se", "COMP_CWORD": "1"}.items():
        monkeypatch.setenv(name, value)
    import io
    import sys

    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    with contextlib.suppress(SystemExit):
        app(prog_name="slrprune")
    assert stream.getvalue().split() == ["sensitivity"]
