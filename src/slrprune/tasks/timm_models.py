"""Networks from timm: by name, and two of its classes cut to images of 32x32 pixels."""

from typing import Any

from torch import nn

from slrprune.errors import ArgumentError, closest
from slrprune.tasks.packages import import_beside_torch


def import_timm(feature: str) -> Any:
    """The module timm.

    Raises:
        MissingExtraError: it is not installed.
        BrokenPackageError: it, or torchvision, which it imports, is damaged.
    """
    return import_beside_torch(feature, "timm", "timm")


def check_timm_name(owner: str, name: str) -> None:
    """Refuses a model that timm does not have.

    Raises:
        ArgumentError: an unknown name, with the closest ones.
        MissingExtraError: timm is not installed.
    """
    timm = import_timm(f"The model {name!r}")
    if not timm.is_model(name):
        nearest = ", ".join(closest(name, timm.list_models()))
        raise ArgumentError(owner, "model", name, "must be a model of timm", f"The closest are {nearest}.")


def mixer_cifar() -> nn.Module:
    """MLP-Mixer-S (Tolstikhin et al., 2021) on patches of 4x4: images (n, 3, 32, 32) to logits (n, 10)."""
    import_timm("The model 'mixer_s4'")
    from timm.models.mlp_mixer import MlpMixer

    return MlpMixer(num_classes=10, img_size=32, patch_size=4, num_blocks=8, embed_dim=512)


def swin_cifar() -> nn.Module:
    """Swin-T (Liu et al., 2021) on patches of 2x2 and windows of 4x4: images (n, 3, 32, 32) to logits (n, 10)."""
    import_timm("The model 'swin_tiny'")
    from timm.models.swin_transformer import SwinTransformer

    return SwinTransformer(num_classes=10, img_size=32, patch_size=2, window_size=4)
