"""The networks of the CIFAR-10 task beside the thin ResNets."""

import pytest
import torch

from slrprune.compare.identity import fingerprint, task_fingerprint
from slrprune.compare.settings import task_settings
from slrprune.errors import ArgumentError, StateError
from slrprune.tasks import Cifar10
from slrprune.tasks.cifar10_models import CIFAR_MODELS
from slrprune.tasks.mobilenetv2_cifar import MobileNetV2Cifar
from slrprune.tasks.recipe import AdamWRecipe


@pytest.fixture
def tiny(tiny_cifar10, monkeypatch):
    """Makes the task on made-up data."""
    monkeypatch.setattr("slrprune.tasks.cifar10.read_cifar10", lambda data, split: tiny_cifar10[split])
    return lambda **options: Cifar10(**({"holdout": 20, "batch_size": 10} | options))


# From the tables of the papers, worked out by hand or known from other implementations of the same form.
PARAMETERS = {"vgg16": 14_724_042, "resnet18": 11_173_962, "resnet50": 23_520_842, "mobilenetv2": 2_236_682}


@pytest.mark.parametrize("name", PARAMETERS)
def test_number_of_parameters(name):
    with torch.device("meta"):
        model = CIFAR_MODELS[name].build()
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("name", CIFAR_MODELS)
def test_output_shape(name):
    # Shapes alone: the networks themselves take a step in test_every_model.py.
    with torch.device("meta"):
        assert CIFAR_MODELS[name].build()(torch.empty(2, 3, 32, 32)).shape == (2, 10)


def test_mobilenet_sees_the_image_at_full_size_until_the_third_stage():
    shapes = []
    model = MobileNetV2Cifar().eval()
    for block in model.features:
        block.register_forward_hook(lambda module, inputs, output: shapes.append(output.shape[-1]))
    model(torch.zeros(1, 3, 32, 32))
    assert shapes == [32] * 4 + [16] * 3 + [8] * 7 + [4] * 4 + [4]


def test_a_network_by_name_brings_its_recipes(tiny):
    task = tiny(model="swin_tiny")
    assert task.model_name == "swin_tiny"
    assert isinstance(task.pruning_recipe, AdamWRecipe)
    assert tiny().pruning_recipe.epochs == 6
    assert tiny(model="vgg16").pruning_recipe.epochs == 50


def test_a_thin_resnet_is_the_same_task_by_depth_and_by_name(tiny):
    by_depth, by_name = tiny(depth=56), tiny(model="resnet56")
    assert task_fingerprint(by_depth) == task_fingerprint(by_name)
    assert task_settings(by_depth) == task_settings(by_name)


def test_the_settings_of_the_first_records_stay_what_they_were(tiny):
    # Records that exist, and runs that are resumed, depend on these attributes; a new one would orphan them.
    task = tiny()
    assert sorted(vars(task)) == [
        *("_mean", "_std", "augment", "batch_size", "bf16", "checkpoint", "depth", "device", "splits"),
    ]
    settings = {"batch_size": 10, "bf16": False, "depth": 20, "train": 40, "val": 20, "test": 20}
    assert task_settings(task) == settings
    assert task_settings(tiny(model="vgg16")) == {
        **{name: value for name, value in settings.items() if name != "depth"},
        "model": "vgg16",
    }
    assert fingerprint(task) != fingerprint(tiny(model="vgg16"))


def test_an_unknown_network_and_a_contradiction_are_refused(tiny):
    expected = r"Cifar10\(model='vgg19'\): model must be one of vgg16, .*resnet110\. Did you mean 'vgg16'\?"
    with pytest.raises(ArgumentError, match=expected):
        tiny(model="vgg19")
    with pytest.raises(ArgumentError, match=r"Cifar10\(depth=56\): depth must be left out beside model='resnet20'"):
        tiny(model="resnet20", depth=56)


def test_a_checkpoint_of_another_network_is_refused(tiny, tmp_path):
    torch.save(MobileNetV2Cifar().state_dict(), tmp_path / "model.pt")
    assert tiny(model="mobilenetv2", checkpoint=tmp_path / "model.pt").pretrained() is not None
    with pytest.raises(StateError, match=r"Cifar10\(model='vgg16'\): .*model\.pt belongs to another model"):
        tiny(model="vgg16", checkpoint=tmp_path / "model.pt").pretrained()
