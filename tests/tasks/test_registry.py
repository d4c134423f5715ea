"""Tasks by name."""

import re
from pathlib import Path

import pytest

from slrprune import tasks
from slrprune.errors import ArgumentError
from slrprune.tasks.needs import NEEDS

PROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"


def test_available_names_make_their_tasks():
    assert tasks.available()[:2] == ("digits", "cifar10")
    assert {"graph", "text"} <= set(tasks.available())
    assert isinstance(tasks.get("digits", fold=2), tasks.Digits)


def test_an_unknown_name_lists_what_there_is():
    listed = ", ".join(tasks.available())
    expected = rf"tasks\.get\(name='cifar'\): name must be one of {listed}\. Did you mean 'cifar10'\?"
    with pytest.raises(ArgumentError, match=expected):
        tasks.get("cifar")


def test_every_task_says_what_it_needs():
    assert tuple(NEEDS) == tasks.available()
    extras = re.search(r"^\[project\.optional-dependencies\]\n(.*?)^\[", PROJECT.read_text(), re.M | re.S)[1]
    known = set(re.findall(r"^(\w+) = ", extras, re.M))
    for name, needs in NEEDS.items():
        assert needs.startswith("no data" if name == "digits" else "--data DIR with "), name
        named = re.findall(r"extra (\w+)|and (\w+) for|but (\w+) for", needs)
        assert {word for found in named for word in found if word} <= known, name
        assert "extra" in needs, name
