"""How the networks of timm are trained: those that LayerNorm normalizes by AdamW, all others by SGD.

What decides is the network and not its name, so that it holds for every family of timm: transformers, MLP mixers and
the convolutional networks after their model are normalized by LayerNorm and were published with AdamW; with SGD they
train badly. One LayerNorm in the head of a network of BatchNorm does not make it one of them. Only the training follows
from it, and nothing of the pruning: sets, methods and their settings are the same for all networks.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from slrprune.errors import ArgumentError
from slrprune.tasks.recipe import AdamWRecipe, Recipe, SGDRecipe
from slrprune.tasks.timm_models import import_timm


@dataclass(frozen=True)
class Recipes:
    """Both recipes of a network.

    Attributes:
        dense: from fresh weights.
        pruning: from trained ones, while it is pruned.
    """

    dense: Recipe
    pruning: Recipe


RECIPES: Mapping[str, Recipes] = MappingProxyType(
    {
        "sgd": Recipes(
            SGDRecipe(epochs=90, lr=0.1, weight_decay=1e-4, warmup=0.05),
            SGDRecipe(epochs=50, lr=0.01, weight_decay=1e-4),
        ),
        # Dense: 1e-3 for 1,024 images, as published for DeiT and Swin, at 256. Pruning: our choice, not measured.
        "adamw": Recipes(
            AdamWRecipe(epochs=300, lr=2.5e-4, weight_decay=0.05, warmup=0.07),
            AdamWRecipe(epochs=50, lr=1e-4, weight_decay=0.05, warmup=0.05),
        ),
    }
)
"""By the optimizer's name."""


def recipes_of(model: str, optimizer: str | None) -> Recipes:
    """The recipes of a network.

    Args:
        model: its name in timm.
        optimizer: "sgd" or "adamw"; None goes by the network.

    Raises:
        ArgumentError: another optimizer.
    """
    if optimizer is None:
        return RECIPES["adamw" if is_layer_normalized(_outline(model)) else "sgd"]
    if optimizer not in RECIPES:
        raise ArgumentError("ImageNet", "optimizer", optimizer, f"must be one of {', '.join(RECIPES)}, or None")
    return RECIPES[optimizer]


def is_layer_normalized(network: nn.Module) -> bool:
    """Whether at least half of the normalization layers, and at least one, take the statistics of a whole example.

    That is LayerNorm, and GroupNorm with one group; the others are BatchNorm, InstanceNorm and GroupNorm with more.
    """
    kinds = (nn.LayerNorm, nn.GroupNorm, _BatchNorm, _InstanceNorm)
    layers = [module for module in network.modules() if isinstance(module, kinds)]
    count = sum(
        isinstance(layer, nn.LayerNorm) or (isinstance(layer, nn.GroupNorm) and layer.num_groups == 1)
        for layer in layers
    )
    return count > 0 and 2 * count >= len(layers)


def _outline(model: str) -> nn.Module:
    """The network, where timm can build it so without memory for its weights."""
    create = import_timm("ImageNet").create_model
    with torch.random.fork_rng(devices=[]):
        try:
            with torch.device("meta"):
                network: nn.Module = create(model)
        except (NotImplementedError, RuntimeError):  # it reads a tensor while it is built
            network = create(model)
    return network
