"""Tasks by name."""

import pytest

from slrprune import tasks
from slrprune.errors import ArgumentError


def test_available_names_make_their_tasks():
    assert tasks.available() == ("digits", "cifar10")
    assert isinstance(tasks.get("digits", fold=2), tasks.Digits)


def test_an_unknown_name_lists_what_there_is():
    expected = r"tasks\.get\(name='cifar'\): name must be one of digits, cifar10\. Did you mean 'cifar10'\?"
    with pytest.raises(ArgumentError, match=expected):
        tasks.get("cifar")
