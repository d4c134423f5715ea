"""Packages of extras, imported at the moment when a task needs them."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from slrprune.errors import BrokenPackageError, MissingExtraError


def import_beside_torch(feature: str, package: str, extra: str) -> Any:
    """A package that is torchvision or imports it; every release of torchvision goes with one of torch alone.

    Args:
        feature: what needs it, for the message.
        package: its name.
        extra: ours that installs it.

    Raises:
        MissingExtraError: it is not installed.
        BrokenPackageError: it is installed, and fails while it is imported.
    """
    if find_spec(package) is None:
        raise MissingExtraError(feature, package, extra)
    try:
        return import_module(package)
    except (ImportError, OSError, RuntimeError, AttributeError) as error:  # what operators that are missing lead to
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}".rstrip(" .:")
        way_out = "Most often torch and torchvision do not fit each other: pip install --upgrade torch torchvision."
        raise BrokenPackageError(feature, package, reason, way_out) from error
