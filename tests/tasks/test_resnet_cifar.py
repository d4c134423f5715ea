"""The CIFAR ResNets: sizes, shortcut, names, and checkpoint files of every kind."""

import pickle

import pytest
import torch
from safetensors.torch import save_file

from slrprune.errors import ArgumentError, DataError, StateError
from slrprune.tasks.resnet_cifar import BasicBlock, ResNetCifar, load_checkpoint


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


@pytest.fixture
def state():
    return ResNetCifar(20).state_dict()


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("wrapped", [True, False])
@pytest.mark.parametrize("legacy", [True, False])
def test_checkpoints_of_torch_save(tmp_path, state, prefix, wrapped, legacy):
    content = {prefix + name: tensor for name, tensor in state.items()}
    content = {"state_dict": content, "best_prec1": 91.7} if wrapped else content
    torch.save(content, tmp_path / "model.th", _use_new_zipfile_serialization=not legacy)
    loaded = load_checkpoint(tmp_path / "model.th")
    assert list(loaded) == list(state)
    assert all(torch.equal(loaded[name], state[name]) for name in state)


def test_safetensors(tmp_path, state):
    save_file({f"module.{name}": tensor for name, tensor in state.items()}, tmp_path / "model.safetensors")
    loaded = load_checkpoint(tmp_path / "model.safetensors")
    assert all(torch.equal(loaded[name], state[name]) for name in state)
    assert len(loaded) == len(state)


def test_missing_file(tmp_path):
    with pytest.raises(DataError, match=r"load_checkpoint: no file .*model\.th\."):
        load_checkpoint(tmp_path / "model.th")


@pytest.mark.parametrize("name", ["model.th", "model.safetensors"])
@pytest.mark.parametrize("content", [b"", b"not a checkpoint at all"])
def test_damaged_file(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=r"model\.\w+ is damaged, or holds more than tensors\."):
        load_checkpoint(tmp_path / name)


class Attack:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return type(self.marker).mkdir, (self.marker,)


def test_hostile_file_is_refused_and_not_run(tmp_path):
    marker = tmp_path / "was_here"
    torch.save({"state_dict": Attack(marker)}, tmp_path / "model.th")
    with pytest.raises(DataError, match=r"model\.th is damaged, or holds more than tensors\."):
        load_checkpoint(tmp_path / "model.th")
    assert not marker.exists()
    pickle.loads(pickle.dumps(Attack(marker)))
    assert marker.exists()


@pytest.mark.parametrize("content", [[1, 2], {"state_dict": 3}, {"epoch": 3}])
def test_file_without_a_state_dict(tmp_path, content):
    torch.save(content, tmp_path / "model.th")
    with pytest.raises(StateError, match=r"model\.th holds no state dict\."):
        load_checkpoint(tmp_path / "model.th")
