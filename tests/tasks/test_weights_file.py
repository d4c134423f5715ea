"""Checkpoint files of every kind, and weights that are known by their content."""

import pickle
import shutil

import pytest
import torch
from safetensors.torch import save_file

from slrprune.compare.identity import fingerprint
from slrprune.errors import DataError, StateError
from slrprune.tasks.resnet_cifar import ResNetCifar
from slrprune.tasks.weights_file import WeightsFile, load_checkpoint


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
@pytest.mark.parametrize("content", [b"", b"not a checkpoint at all", b"hello, these are no weights\n"])
def test_damaged_file(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=r"model\.\w+ is damaged, or holds more than tensors\."):
        load_checkpoint(tmp_path / name)


def test_a_file_that_was_cut_is_refused_whatever_unpickling_says(tmp_path, state):
    torch.save(state, tmp_path / "whole.th", _use_new_zipfile_serialization=False)
    whole, file = (tmp_path / "whole.th").read_bytes(), tmp_path / "model.th"
    for size in (0, 1, 20, 30, 100, 150, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:size])
        with pytest.raises(DataError, match=r"model\.th is damaged, or holds more than tensors\."):
            load_checkpoint(file)


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


def test_the_content_counts_and_not_where_it_lies(tmp_path):
    for name, value in (("a", 1.0), ("b", 2.0)):
        save_file({"weight": torch.full((3,), value)}, tmp_path / f"{name}.safetensors")
    shutil.copy(tmp_path / "a.safetensors", tmp_path / "copy.safetensors")
    first, other, copy = (WeightsFile.of(tmp_path / f"{name}.safetensors") for name in ("a", "b", "copy"))
    assert fingerprint(first) == fingerprint(copy) == fingerprint(WeightsFile.of(str(tmp_path / "a.safetensors")))
    assert fingerprint(first) != fingerprint(other)
    assert torch.equal(other.load()["weight"], torch.full((3,), 2.0))


def test_no_weights_and_no_file(tmp_path):
    assert WeightsFile.of(None) is None
    with pytest.raises(DataError, match=r"weights: no file .*nothing\.pt\."):
        WeightsFile.of(tmp_path / "nothing.pt")
    with pytest.raises(DataError, match=r"weights: .* cannot be read: Is a directory\."):
        WeightsFile.of(tmp_path)
