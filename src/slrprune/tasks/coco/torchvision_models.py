"""torchvision's models, where torchvision is installed."""

from typing import Any

from slrprune.tasks.packages import import_beside_torch


def torchvision_models(owner: str) -> Any:
    """The module `torchvision.models`.

    Args:
        owner: what needs it, for the message.

    Raises:
        MissingExtraError: torchvision is not installed.
        BrokenPackageError: it does not fit torch.
    """
    return import_beside_torch(owner, "torchvision", "detection").models
