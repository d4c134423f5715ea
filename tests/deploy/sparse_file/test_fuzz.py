"""Damaged files, by the thousand: an error of ours or the right tensors, and nothing else."""

import json
import random
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save

from slrprune.deploy import load_sparse, save_sparse
from slrprune.errors import DataError

KEY = "slrprune_sparse"
MAX_BYTES = 1 << 20
NUMBERS = [0, 1, -1, 2, 7, 8, 9, 63, 255, 256, 1000, 2**16, 2**31, 2**32, 2**63, 2**64, -(2**63), 10**30]
ODDITIES = [*NUMBERS, None, True, 0.5, 1e300, "x", "", [], [[]], {}, "float64", "bool", "int8"]


def flip(content: bytearray, rng: random.Random) -> bytearray:
    for _ in range(rng.choice([1, 1, 1, 2, 10])):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return content


def overwrite(content: bytearray, rng: random.Random) -> bytearray:
    start = rng.randrange(len(content))
    piece = rng.randbytes(rng.choice([1, 4, 40]))
    content[start : start + len(piece)] = piece
    return content


def cut(content: bytearray, rng: random.Random) -> bytearray:
    return content[: rng.randrange(len(content))]


def extend(content: bytearray, rng: random.Random) -> bytearray:
    return content + rng.randbytes(rng.choice([1, 8, 1000]))


def delete(content: bytearray, rng: random.Random) -> bytearray:
    start = rng.randrange(len(content))
    del content[start : start + rng.choice([1, 3, 100])]
    return content


def repeat(content: bytearray, rng: random.Random) -> bytearray:
    start, length = rng.randrange(len(content)), rng.choice([1, 8, 100])
    place = rng.randrange(len(content))
    content[place:place] = content[start : start + length]
    return content


class Forger:
    """Changes the index or the data, and puts all checksums right: only the content is wrong."""

    def __init__(self, path: Path) -> None:
        with safe_open(path, "np") as file:
            self.index = json.loads(file.metadata()[KEY])
            self.data = file.get_tensor("data").tobytes()[:-4]

    def __call__(self, content: bytearray, rng: random.Random) -> bytearray:
        index, data = json.loads(json.dumps(self.index)), bytearray(self.data)
        if rng.random() < 0.6:
            self._spoil(index["tensors"], rng)
        else:
            data = rng.choice([flip, overwrite])(data, rng)
        start = 0
        for row in index["tensors"]:
            length = self._length(row)
            row[3] = zlib.crc32(data[start : start + length]) if isinstance(row, list) and len(row) > 3 else 0
            start += length
        text = json.dumps(index)
        data += zlib.crc32(text.encode()).to_bytes(4, "little")
        return bytearray(save({"data": np.frombuffer(data, np.uint8)}, {KEY: text}))

    @staticmethod
    def _spoil(rows: list[Any], rng: random.Random) -> None:
        """Replaces one number or list, moves a byte from one length to another, or swaps two rows' parts."""
        row = rng.choice(rows)
        kind = rng.randrange(4)
        if kind == 0:
            place = rng.choice([0, 1, 2, *range(4, len(row))])
            row[place] = rng.choice(ODDITIES)
        elif kind == 1 and len(row) == 10:
            one, other = rng.sample(range(len(row[9])), 2)
            step = rng.choice([1, 2, row[9][one]])
            row[9][one] -= step
            row[9][other] += step
        elif kind == 2:
            inner = rng.choice([part for part in row if isinstance(part, list) and part])
            inner[rng.randrange(len(inner))] = rng.choice(ODDITIES)
        else:
            other = rng.choice(rows)
            place = rng.choice([place for place in range(min(len(row), len(other))) if place != 3])
            row[place], other[place] = other[place], row[place]

    @staticmethod
    def _length(row: Any) -> int:
        """The bytes of a row's data, as far as they make sense."""
        if not isinstance(row, list) or len(row) < 10 or not isinstance(row[9], list):
            return 44  # the one dense tensor: 11 float32
        return sum(length for length in row[9] if isinstance(length, int) and 0 <= length < 1 << 20)


def is_noticed(path: Path) -> bool:
    """Loads a file that may be damaged; returns whether that was noticed."""
    try:
        loaded = load_sparse(path, max_bytes=MAX_BYTES)
    except DataError:
        return True
    assert sum(tensor.nbytes for tensor in loaded.values()) <= MAX_BYTES
    return False


def run(path: Path, seeds: range) -> None:
    """Damages by chance are always noticed; forgeries may load as something else, but never crash or take memory."""
    content = path.read_bytes()
    forge = Forger(path)
    noticed = 0
    tracemalloc.start()
    for seed in seeds:
        rng = random.Random(seed)
        damage = rng.choice([flip, overwrite, cut, extend, delete, repeat, forge, forge, forge])
        damaged = bytes(damage(bytearray(content), rng))
        path.write_bytes(damaged)
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        was_noticed = is_noticed(path)
        assert tracemalloc.get_traced_memory()[1] - before < 2 * MAX_BYTES, f"seed {seed}: {damage}"
        assert was_noticed or damage is forge or damaged == content, f"seed {seed}: {damage}"
        noticed += was_noticed
    tracemalloc.stop()
    assert noticed > 0.7 * len(seeds)


def test_500_damaged_files(small_file: Path) -> None:
    run(small_file, range(500))


@pytest.mark.slow
def test_10000_damaged_files(small_file: Path) -> None:
    run(small_file, range(500, 10_500))


@pytest.mark.parametrize("step", [pytest.param(1, marks=pytest.mark.slow), 11])
def test_every_single_bit_matters(step: int, tmp_path: Path) -> None:
    """In a file small enough to try them all: header, index, data, checksums."""
    path = tmp_path / "file"
    state = {"w": torch.where(torch.rand(400) < 0.1, torch.randn(400), 0), "b": torch.ones(3)}
    save_sparse(state | {"m": -state["w"]}, path)
    content = path.read_bytes()
    for position in range(0, 8 * len(content), step):
        damaged = bytearray(content)
        damaged[position // 8] ^= 1 << position % 8
        path.write_bytes(damaged)
        assert is_noticed(path), f"bit {position}"


def test_every_length_matters(small_file: Path) -> None:
    content = small_file.read_bytes()
    for length in [*range(0, len(content), 97), *range(len(content) - 20, len(content))]:
        small_file.write_bytes(content[:length])
        assert is_noticed(small_file), f"{length} bytes"
