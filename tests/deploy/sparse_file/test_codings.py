"""The parts of the file one by one: positions, columns, deflate streams, and the choice between codings."""

import math
import zlib
from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from slrprune.deploy.sparse_file.bits import count_ones, ends_in_one, join_bits, packed_length, split_bits
from slrprune.deploy.sparse_file.deflate import deflate, inflate
from slrprune.deploy.sparse_file.dtypes import from_torch
from slrprune.deploy.sparse_file.encode import encode
from slrprune.deploy.sparse_file.errors import InvalidError
from slrprune.deploy.sparse_file.positions import Bitmask, Gaps, Positions
from slrprune.deploy.sparse_file.values import decode_values, encode_values
from slrprune.deploy.sparse_file.words import words_of

RNG = np.random.default_rng(0)


def places(positions: Positions, nonzero: NDArray[np.int64]) -> NDArray[np.int64]:
    """What comes back of `nonzero`."""
    parts = positions.encode(nonzero)
    assert tuple(map(len, parts)) == positions.lengths
    positions.check(parts)
    return np.concatenate([np.empty(0, np.int64), *(first + offsets for first, offsets in positions.chunks(parts))])


@pytest.mark.parametrize("size", [1, 8, 9, 1000, 131_072, 1_000_001, 3_000_000])
@pytest.mark.parametrize("density", [0, 1e-5, 0.01, 0.1, 0.5, 1])
def test_positions_come_back(size: int, density: float) -> None:
    """The largest sizes fill several chunks."""
    nonzero = np.flatnonzero(RNG.random(size) < density)
    for positions in (Bitmask(size, len(nonzero)), Gaps.best(size, len(nonzero)), Gaps(size, len(nonzero), 0)):
        assert np.array_equal(places(positions, nonzero), nonzero)


@pytest.mark.parametrize("nonzero", [[0], [4095], [0, 4095], [*range(4096)], [*range(4000, 4096)], [5, 6, 7, 4000]])
@pytest.mark.parametrize("low_bits", [0, 3, 12])
def test_gaps_at_the_edges(nonzero: list[int], low_bits: int) -> None:
    assert places(Gaps(4096, len(nonzero), low_bits), np.array(nonzero)).tolist() == nonzero


@pytest.mark.parametrize("density", [0.02, 0.05, 0.1])
def test_gaps_take_little_more_than_their_entropy(density: float) -> None:
    size = 1 << 20
    count = round(density * size)
    entropy = -(density * math.log2(density) + (1 - density) * math.log2(1 - density)) / density
    assert entropy < 8 * sum(Gaps.best(size, count).lengths) / count < entropy + 0.6


def test_bits_by_hand() -> None:
    vectors = split_bits(np.array([1, 2, 3, 7], np.uint8), 3)
    assert [vector.tolist() for vector in vectors] == [[0b10110000], [0b01110000], [0b00010000]]
    assert join_bits(np.concatenate(vectors), 3, 4).tolist() == [1, 2, 3, 7]
    assert join_bits(np.empty(0, np.uint8), 0, 4).tolist() == [0, 0, 0, 0]
    assert (packed_length(0), packed_length(8), packed_length(9)) == (0, 1, 2)
    assert count_ones(np.array([255, 1], np.uint8)) == 9
    assert ends_in_one(np.array([0b00000100], np.uint8), 5)
    assert not ends_in_one(np.array([0b00001000], np.uint8), 5)
    assert not ends_in_one(np.empty(0, np.uint8), 0)


@pytest.mark.parametrize("bits", [1, 8, 9, 31, 32])
def test_bits_come_back(bits: int) -> None:
    numbers = RNG.integers(0, 1 << bits, 1001)
    joined = join_bits(np.concatenate(split_bits(numbers, bits)), bits, 1001)
    assert np.array_equal(joined, numbers)
    assert joined.itemsize == next(size for size in (1, 2, 4) if 8 * size >= bits)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.uint64])
@pytest.mark.parametrize("span", [0, 1, 5, 15, 16, 200])
def test_values_come_back(dtype: type[np.unsignedinteger], span: int) -> None:
    width = np.dtype(dtype).itemsize
    words = RNG.integers(0, 256, (999, width), dtype=np.uint8)
    words[:, -1] = 20 + RNG.integers(0, span // 2 + 1, 999)
    words = words.view(dtype)[:, 0]
    stored = encode_values(words)
    values = decode_values([memoryview(part) for part in stored.parts], 999, width, stored.bits, stored.base)
    cuts = [0, 1, 500, 999]
    assert np.array_equal(np.concatenate([values.words(*cut) for cut in pairwise(cuts)]), words)


def test_the_highest_column_holds_exponents_only() -> None:
    weights = torch.randn(1000).clamp(0.25, 0.99) * torch.randn(1000).sign()  # exponents -2 and -1, both signs
    stored = encode_values(words_of(weights, from_torch(torch.float32)))
    assert (stored.bits, stored.base) == (1, 125)
    assert len(stored.parts) == 3


def test_deflate_leaves_noise_alone_and_inflate_knows() -> None:
    noise = RNG.integers(0, 256, 300_000, dtype=np.uint8)
    zeros = np.zeros(300_000, np.uint8)
    assert deflate([noise]) == noise.tobytes()
    assert deflate([]) == b""
    assert len(deflate([zeros])) < 500
    mixed = deflate([noise, zeros])
    assert len(noise) < len(mixed) < 1.01 * len(noise)
    assert np.array_equal(inflate(memoryview(mixed), 600_000), np.concatenate([noise, zeros]))
    assert zlib.decompress(mixed, -15) == noise.tobytes() + zeros.tobytes()


@pytest.mark.parametrize("length", [0, 1, 999, 1001, 10**9])
def test_inflate_checks_the_length(length: int) -> None:
    stream = deflate([np.zeros(1000, np.uint8)])
    with pytest.raises(InvalidError):
        inflate(memoryview(stream), length)


def coding_of(tensor: torch.Tensor) -> object:
    dtype = from_torch(tensor.dtype)
    row, data = encode(["x"], words_of(tensor, dtype), tensor.shape, dtype)
    assert row.checksum == zlib.crc32(data)
    return row.coding and type(row.coding.positions)


def test_the_coding_follows_the_density() -> None:
    kept = torch.rand(200, 200)
    codings = {density: coding_of(torch.where(kept < density, torch.randn(200, 200), 0)) for density in (0.05, 0.5, 1)}
    assert codings == {0.05: Gaps, 0.5: Bitmask, 1: None}


def test_what_is_tiny_or_hardly_sparse_stays_dense() -> None:
    assert coding_of(torch.zeros(32)) is None
    assert coding_of(torch.zeros(64)) is not None
    assert coding_of(torch.where(torch.rand(1000) < 0.8, torch.randn(1000), 0)) is None
