"""The recipes: every file is a configuration, says its own command, and keeps the compression that it names."""

import re
from pathlib import Path

import pytest
import timm
import torch

from slrprune.config import load_config
from slrprune.config.targets import pruning_rules
from slrprune.rules import assign
from slrprune.tasks.cifar10_models import CIFAR_MODELS
from slrprune.tasks.resnet_cifar import ResNetCifar

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
MINE = [path for path in sorted(RECIPES.glob("*.yaml")) if path.stem.split("_")[0] in ("cifar10", "imagenet")]


@pytest.mark.parametrize("path", sorted(RECIPES.rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_loads_and_begins_with_its_command(path):
    config = load_config(path)
    header = re.match(r"(#.*\n)+", path.read_text())
    assert header is not None
    assert f"slrprune prune --config recipes/{path.relative_to(RECIPES)}" in header[0]
    assert path.stem.startswith(config.task)
    assert config.epochs is not None


def network(config):
    """The recipe's network, without memory for its weights."""
    name = config.task_options["model"]
    with torch.device("meta"):
        if config.task == "imagenet":
            return timm.create_model(name)
        return CIFAR_MODELS[name].build() if name in CIFAR_MODELS else ResNetCifar(int(name.removeprefix("resnet")))


def compression(config):
    """Parameters in all over parameters left, biases not counted, as the authors count them."""
    model = network(config)
    total = sum(parameter.numel() for name, parameter in model.named_parameters() if "bias" not in name)
    assignments, _ = assign(model, pruning_rules(config, model).rules)
    zeros = sum(
        assignment.constraint.sparsity * target.parameter.numel()
        for assignment in assignments
        for target in assignment.targets
    )
    return total / (total - zeros)


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("cifar10_resnet18", 8.71),
        ("cifar10_vgg16", 12.0),
        ("cifar10_resnet50", 6.57),
        ("imagenet_resnet18", 6.50),
        ("imagenet_resnet50", 3.896),
        ("imagenet_mixer_b16_50", 1.955),
        ("imagenet_mixer_b16_70", 3.163),
        ("imagenet_mixer_b16_90", 8.283),
        ("imagenet_swin_tiny", 8.00),
    ],
)
def test_compression_is_the_published_one(name, published):
    found = compression(load_config(RECIPES / f"{name}.yaml"))
    digits = 3 if published in (3.896, 1.955, 3.163, 8.283) else 2
    assert round(found, digits) == published


@pytest.mark.parametrize("path", MINE, ids=lambda path: path.stem)
def test_every_rule_finds_its_weights(path):
    assert compression(load_config(path)) > 1.5
