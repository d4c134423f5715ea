"""Tasks by name."""

import pytest

from slrprune import tasks
from slrprune.errors import ArgumentError


def test_available_names_make_their_tasks():
    assert tasks.available()[:2] == ("digits", "cifar10")
    assert {"graph", "text"} <= set(tasks.available())
    assert isinstance(tasks.get("digits", fold=2), tasks.Digits)


def test_an_unknown_name_lists_what_there_is():
    listed = ", ".join(tasks.available())
    expected = rf"tasks\.get\(name='cifar'\): name must be one of {listed}\. Did you mean 'cifar10'\?"
    with pytest.raises(ArgumentError, match=expected):
        tasks.get("cifar")
