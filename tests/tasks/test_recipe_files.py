"""The recipes: every file is a configuration, says its own command, and keeps the compression that it names.

So do the rows of the table in docs/paper.md, which hold a command for every system of the paper.
"""

import re
import shlex
from pathlib import Path

import pytest
import timm
import torch
import typer.main
from torchvision.models import get_model

from slrprune.cli.app import app
from slrprune.config import load_config
from slrprune.config.targets import pruning_rules
from slrprune.rules import assign
from slrprune.tasks.cifar10_models import CIFAR_MODELS
from slrprune.tasks.coco.systems import system_named
from slrprune.tasks.gcn import GCN
from slrprune.tasks.kitti.design import design_named
from slrprune.tasks.kitti.network import PointPillars
from slrprune.tasks.resnet_cifar import ResNetCifar
from slrprune.tasks.tusimple.task import SYSTEMS

REPOSITORY = Path(__file__).resolve().parents[2]
RECIPES = REPOSITORY / "recipes"
ALL = sorted(RECIPES.rglob("*.yaml"))
OUTSIDE = {"coco_segmentation_lraspp", "text_stories"}
"""Recipes of what the paper did not measure."""

ROWS = re.findall(
    r"^\| (?P<system>[^|]+) \| `(?P<command>slrprune prune [^`|]+)` \| (?P<ratio>[\d.]+)x(?:, our choice)? \|",
    (REPOSITORY / "docs" / "paper.md").read_text(),
    re.MULTILINE,
)


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_every_recipe_loads_and_begins_with_its_command(path):
    config = load_config(path)
    header = re.match(r"(#.*\n)+", path.read_text())
    assert header is not None
    assert f"slrprune prune --config recipes/{path.relative_to(RECIPES)}" in header[0]
    assert path.stem.startswith(config.task)
    assert config.epochs is not None


def network(config):
    """The recipe's network, without memory for its weights where that is possible."""
    options = config.task_options
    if config.task == "graph":
        return GCN(1433, 7, torch.tensor([[0], [1]]), 2)  # Cora's words and classes
    if config.task == "kitti":
        return PointPillars(design_named(options["design"]))
    if config.task == "tusimple":
        return SYSTEMS[options["system"]].network()
    if config.task == "coco":
        return system_named(
            options["system"], options.get("size"), 3 if options.get("augment") == "slide" else 80
        ).network()
    name = options["model"]
    with torch.device("meta"):
        if config.task == "imagenet":
            return timm.create_model(name)
        if config.task == "coco_segmentation":
            return get_model(name, weights=None, weights_backbone=None, num_classes=81)
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
    ],
)
def test_compression_is_the_published_one(name, published):
    found = compression(load_config(RECIPES / f"{name}.yaml"))
    digits = 3 if published in (3.896, 1.955, 3.163, 8.283) else 2
    assert round(found, digits) == published


@pytest.mark.parametrize("path", [path for path in ALL if path.stem != "text_stories"], ids=lambda path: path.stem)
def test_every_rule_finds_its_weights(path):
    assert compression(load_config(path)) > 1.5


def test_the_table_of_the_paper_holds_every_recipe():
    named = [re.search(r"--config recipes/(\w+)\.yaml --data DIR", command)[1] for _, command, _ in ROWS]
    assert sorted(named) == sorted({path.stem for path in ALL} - OUTSIDE)


@pytest.mark.parametrize(("system", "command", "ratio"), ROWS, ids=[system for system, _, _ in ROWS])
def test_a_row_of_the_paper_runs_its_recipe_at_the_compression_it_names(system, command, ratio):
    group = typer.main.get_command(app)
    verb, *words = shlex.split(command)[1:]
    with group.make_context("slrprune", [verb], resilient_parsing=True) as context:
        given = group.commands[verb].make_context(verb, words, parent=context).params
    flags = {"data": str(given["data"]), "retrain": given["retrain"]}
    config = load_config(REPOSITORY / given["config"], given["override"] or [], **flags)
    assert config.retrain == (given["retrain"] or 0)
    digits = len(ratio.partition(".")[2])
    assert f"{compression(config):.{digits}f}" == ratio, system
