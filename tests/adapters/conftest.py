"""Warnings of the engines that are none of ours."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Lightning's hints about tiny runs, and a deprecation within it."""
    for item in items:
        if "tests/adapters" in item.path.as_posix():
            item.add_marker(pytest.mark.filterwarnings("ignore:.*does not have many workers"))
            item.add_marker(pytest.mark.filterwarnings("ignore:.*exists and is not empty"))
            item.add_marker(pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning"))
