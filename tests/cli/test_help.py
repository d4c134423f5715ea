"""Every verb's help ends with one example, and the example is a command line that works."""

import contextlib
import shlex

import pytest
import typer.main

from slrprune.cli.app import VERBS, app

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


@pytest.mark.parametrize("verb", NAMES)
def test_the_example_is_understood(verb):
    words = shlex.split(EXAMPLES[verb])
    group = typer.main.get_command(app)
    with group.make_context("slrprune", words[1:2], resilient_parsing=True) as context:
        command = group.get_command(context, verb)
        with command.make_context(verb, words[2:], parent=context) as parsed:  # raises where it cannot be parsed
            assert not parsed.args
            required = [entry.name for entry in command.params if entry.required]
            assert all(parsed.params[name] is not None for name in required)


@pytest.mark.parametrize("verb", ["tasks", "new-task", "inspect"])
def test_the_quick_examples_run(slrprune, verb):
    if verb == "inspect":
        pytest.importorskip("sklearn", reason="digits need scikit-learn, of the extra demo")
    result = slrprune(*shlex.split(EXAMPLES[verb])[1:])
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout


@pytest.mark.parametrize(
    ("word", "closest"), [("compar", "compare"), ("sensitivty", "sensitivity"), ("export_", "export"), ("xyz", "")]
)
def test_an_unknown_verb_is_told_the_closest(slrprune, word, closest):
    result = slrprune(word)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"Error: there is no verb '{word}'. The closest is '{closest}" in result.stderr


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
