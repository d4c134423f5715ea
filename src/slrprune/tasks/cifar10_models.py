"""The networks of the CIFAR-10 task by name, each with its recipes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from torch import nn

from slrprune.errors import ArgumentError, suggestion
from slrprune.tasks.mobilenetv2_cifar import MobileNetV2Cifar
from slrprune.tasks.recipe import AdamWRecipe, Recipe, SGDRecipe
from slrprune.tasks.resnet_cifar import DEPTHS
from slrprune.tasks.resnet_wide_cifar import resnet18_cifar, resnet50_cifar
from slrprune.tasks.timm_models import mixer_cifar, swin_cifar
from slrprune.tasks.vgg_cifar import VGG16Cifar

_DENSE = SGDRecipe(epochs=100, lr=0.1, weight_decay=5e-4, warmup=0.05)
_PRUNING = SGDRecipe(epochs=50, lr=0.05, weight_decay=5e-4)
# torch's own learning rate and weight decay: for seeing how a method does in settings that nobody tuned.
_PLAIN_ADAMW = AdamWRecipe(epochs=100, lr=1e-3, weight_decay=0.01, warmup=0.05)
_ATTENTIVE_DENSE = AdamWRecipe(epochs=100, lr=1e-3, weight_decay=0.05, warmup=0.1)
_ATTENTIVE_PRUNING = AdamWRecipe(epochs=50, lr=3e-4, weight_decay=0.05, warmup=0.05)


@dataclass(frozen=True)
class CifarModel:
    """A network with its recipes.

    Args:
        build: makes the network, its weights drawn from torch's current RNG.
        dense_recipe: how it is trained from fresh weights.
        pruning_recipe: how it is trained on while it is pruned; 50 epochs, as published for CIFAR-10.
    """

    build: Callable[[], nn.Module]
    dense_recipe: Recipe = _DENSE
    pruning_recipe: Recipe = _PRUNING


CIFAR_MODELS: Mapping[str, CifarModel] = MappingProxyType(
    {
        "vgg16": CifarModel(VGG16Cifar),
        "resnet18": CifarModel(resnet18_cifar),
        "resnet50": CifarModel(resnet50_cifar),
        "mobilenetv2": CifarModel(MobileNetV2Cifar),
        "mixer_s4": CifarModel(mixer_cifar, _ATTENTIVE_DENSE, _ATTENTIVE_PRUNING),
        "swin_tiny": CifarModel(swin_cifar, _ATTENTIVE_DENSE, _ATTENTIVE_PRUNING),
    }
)
"""The networks beside the thin ResNets, which go by their depth."""

THIN_RESNETS: Mapping[str, int] = MappingProxyType({f"resnet{depth}": depth for depth in DEPTHS})
"""The thin ResNets under their names: the depth of each."""


def check_cifar_model(name: str) -> None:
    """Refuses an unknown name.

    Raises:
        ArgumentError: the message lists what there is.
    """
    known = [*CIFAR_MODELS, *THIN_RESNETS]
    if name not in known:
        way_out = suggestion(name, known, "Did you mean {!r}?")
        raise ArgumentError("Cifar10", "model", name, f"must be one of {', '.join(known)}", way_out)


_UNDER: Mapping[str, tuple[Recipe, Recipe]] = MappingProxyType(
    {"sgd": (_DENSE, _PRUNING), "adamw": (_PLAIN_ADAMW, _PLAIN_ADAMW)}
)


def recipes_under(optimizer: str, dense: Recipe, pruning: Recipe) -> tuple[Recipe, Recipe]:
    """Both recipes with another optimizer, in their lengths.

    Args:
        optimizer: "sgd" or "adamw"; the one that a recipe has already leaves it as it is.
        dense: the network's own, from fresh weights.
        pruning: the network's own, from trained ones.

    Raises:
        ArgumentError: another optimizer.
    """
    if optimizer not in _UNDER:
        raise ArgumentError("Cifar10", "optimizer", optimizer, f"must be one of {', '.join(_UNDER)}, or None")
    other_dense, other_pruning = _UNDER[optimizer]
    return _in_place_of(dense, other_dense), _in_place_of(pruning, other_pruning)


def _in_place_of(own: Recipe, other: Recipe) -> Recipe:
    return own if type(own) is type(other) else replace(other, epochs=own.epochs)
