"""torchvision's models, where torchvision is installed."""

from importlib.util import find_spec
from typing import Any

from slrprune.errors import MissingExtraError


def torchvision_models(owner: str) -> Any:
    """The module `torchvision.models`.

    Args:
        owner: what needs it, for the message.

    Raises:
        MissingExtraError: torchvision is not installed.
    """
    if find_spec("torchvision") is None:
        raise MissingExtraError(owner, "torchvision", "detection")
    from torchvision import models

    return models
