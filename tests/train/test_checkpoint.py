"""Checkpoints: what goes in comes out, and what is damaged or cannot be written is said in a sentence."""

import errno
import json
import math
import os
import subprocess
import sys

import pytest
import torch

from slrprune.errors import ArgumentError, DataError, StateError
from slrprune.train.checkpoint import Checkpoints, CheckpointWriteError, store
from slrprune.train.checkpoint.tree import flatten, unflatten

STATE = {
    "step": 7,
    "lr": 0.1 + 0.2,
    "none": None,
    "flags": [True, False],
    "optimizer": {"state": {0: {"momentum": torch.arange(3.0)}, 1: {}}, "betas": (0.9, 0.999)},
    "nan": [math.nan, -math.inf],
    "random": torch.arange(5, dtype=torch.uint8),
    "bf16": torch.ones(2, dtype=torch.bfloat16),
    "scalar": torch.tensor(3.5, dtype=torch.float64),
    "$odd": {"$tensor": "text"},
}


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def same(a, b):
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype is b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return type(b) is dict and list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and (a == b or (a != a and b != b))


def test_a_state_survives_to_the_bit_and_to_the_type(tmp_path):
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    path = checkpoints.save(7, STATE)
    found = checkpoints.newest()
    assert same(STATE, found.state)
    assert found.path == path == tmp_path / "checkpoints" / "step-00000007"
    assert found.damaged == ()


def test_tensors_that_share_memory_are_saved_apart():
    base = torch.arange(4.0)
    tree, tensors = flatten({"whole": base, "again": base, "part": base[1:]})
    back = unflatten(json.loads(json.dumps(tree)), tensors)
    assert same(back, {"whole": base, "again": base, "part": base[1:]})
    pointers = [tensor.untyped_storage().data_ptr() for tensor in tensors.values()]
    assert len(dict.fromkeys(pointers)) == 3


def test_what_is_no_plain_value_is_refused_with_its_place():
    with pytest.raises(ArgumentError, match=r"checkpoint\(a\.1='object'\): a\.1 must be a plain value"):
        flatten({"a": [1, object()]})


def test_the_last_two_are_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    for step in (1, 2, 10, 3):
        checkpoints.save(step, {"step": step})
    assert names(tmp_path) == ["step-00000003", "step-00000010"]
    assert checkpoints.newest().state == {"step": 10}


def test_saving_a_step_again_replaces_it(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, {"value": 1})
    checkpoints.save(1, {"value": 2})
    assert checkpoints.newest().state == {"value": 2}
    assert names(tmp_path) == ["step-00000001"]


def test_without_checkpoints_there_is_none(tmp_path):
    assert Checkpoints(tmp_path / "nowhere").newest() is None


def flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


DAMAGES = {
    "a flipped bit in the tensors": lambda path: flipped(path / "tensors.safetensors"),
    "a flipped bit in the state": lambda path: flipped(path / "state.json"),
    "a truncated file": lambda path: os.truncate(path / "tensors.safetensors", 20),
    "a missing file": lambda path: (path / "state.json").unlink(),
    "a missing manifest": lambda path: (path / "manifest.json").unlink(),
    "a manifest of nonsense": lambda path: (path / "manifest.json").write_text("[]"),
    "an empty folder": lambda path: [file.unlink() for file in path.iterdir()],
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_newest_falls_back_to_the_one_before_and_says_so(tmp_path, damage):
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2):
        checkpoints.save(step, STATE | {"step": step})
    damage(tmp_path / "step-00000002")
    found = checkpoints.newest()
    assert found.state["step"] == 1
    assert len(found.damaged) == 1
    assert "step-00000002" in found.damaged[0]


def test_where_all_are_damaged_a_sentence_says_so(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2):
        flipped(checkpoints.save(step, STATE) / "tensors.safetensors")
    sentence = r"none of the 2 checkpoints can be read: .*step-00000002.*checksum differs.*step-00000001.*anew"
    with pytest.raises(DataError, match=sentence):
        checkpoints.newest()


def test_a_checkpoint_of_a_newer_version_is_no_damage(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    manifest = checkpoints.save(1, STATE) / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"version": 2}))
    sentence = "the checkpoint has version 2, this slrprune reads up to 1. Update slrprune"
    with pytest.raises(StateError, match=sentence):
        checkpoints.newest()


@pytest.mark.parametrize("written", [0, 1, 2])
def test_a_full_disk_leaves_the_last_good_checkpoint(tmp_path, monkeypatch, written):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, STATE)
    write, count = store.write_synced, 0

    def full(path, content):
        nonlocal count
        count += 1
        if count > written:
            path.write_bytes(content[:10])
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, content)

    monkeypatch.setattr(store, "write_synced", full)
    sentence = (
        r"step-00000002: the checkpoint cannot be written \(No space left on device\); the last good .* step-00000001"
    )
    with pytest.raises(CheckpointWriteError, match=sentence):
        checkpoints.save(2, STATE)
    assert names(tmp_path) == ["step-00000001"]
    assert same(checkpoints.newest().state, STATE)


@pytest.mark.skipif(os.name != "posix", reason="limits the size of files")
def test_a_limit_on_files_is_met_like_a_full_disk(tmp_path):
    """A real write that fails in the middle: the system refuses files beyond 16 KiB."""
    program = f"""
import resource, signal
from pathlib import Path
import torch
from slrprune.train.checkpoint import Checkpoints, CheckpointWriteError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
checkpoints = Checkpoints(Path({str(tmp_path)!r}))
checkpoints.save(1, {{"weight": torch.ones(10)}})
resource.setrlimit(resource.RLIMIT_FSIZE, (16384, 16384))
try:
    checkpoints.save(2, {{"weight": torch.ones(10_000)}})
except CheckpointWriteError as error:
    print(error)
print(checkpoints.newest().state["weight"].sum())
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "cannot be written (File too large); the last good checkpoint, step-00000001, is intact" in found.stdout
    assert "tensor(10.)" in found.stdout
    assert names(tmp_path) == ["step-00000001"]
