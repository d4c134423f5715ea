"""The CIFAR ResNets: sizes, shortcut and names."""

import pytest
import torch

from slrprune.errors import ArgumentError
from slrprune.tasks.resnet_cifar import BasicBlock, ResNetCifar


@pytest.mark.parametrize(
    ("depth", "parameters"), [(20, 269_722), (32, 464_154), (44, 658_586), (56, 853_018), (110, 1_727_962)]
)
def test_number_of_parameters_and_of_layers(depth, parameters):
    model = ResNetCifar(depth)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters
    assert sum(parameter.dim() > 1 for parameter in model.parameters()) == depth


def test_parameter_names_are_those_of_the_public_checkpoints():
    names = list(dict(ResNetCifar(20).named_parameters()))
    assert names[:6] == ["conv1.weight", "bn1.weight", "bn1.bias"] + [
        f"layer1.0.{name}" for name in ("conv1.weight", "bn1.weight", "bn1.bias")
    ]
    assert names[-5:] == [
        "layer3.2.conv2.weight",
        "layer3.2.bn2.weight",
        "layer3.2.bn2.bias",
        "linear.weight",
        "linear.bias",
    ]


@pytest.mark.parametrize(("size", "classes"), [(32, 10), (16, 7)])
def test_output_shape(size, classes):
    assert ResNetCifar(20, classes)(torch.randn(2, 3, size, size)).shape == (2, classes)


def test_shortcut_takes_every_second_pixel_and_pads_channels_with_zeros():
    block = BasicBlock(4, 8, stride=2)
    torch.nn.init.zeros_(block.bn2.weight)  # nothing but the shortcut is left
    images = torch.randn(3, 4, 6, 6)
    result = block(images)
    assert result.shape == (3, 8, 3, 3)
    for row in range(3):
        for column in range(3):
            assert torch.equal(result[:, 2:6, row, column], images[:, :, 2 * row, 2 * column].clamp(min=0))
    assert not result[:, :2].any()
    assert not result[:, 6:].any()


def test_weights_come_from_the_global_generator():
    torch.manual_seed(4)
    first = ResNetCifar(20).state_dict()
    torch.manual_seed(4)
    assert all(torch.equal(tensor, first[name]) for name, tensor in ResNetCifar(20).state_dict().items())
    assert not torch.equal(ResNetCifar(20).conv1.weight, first["conv1.weight"])


@pytest.mark.parametrize("depth", [18, 21, 2])
def test_other_depths_are_refused(depth):
    with pytest.raises(
        ArgumentError, match=rf"ResNetCifar\(depth={depth}\): depth must be one of 20, 32, 44, 56, 110\."
    ):
        ResNetCifar(depth)
