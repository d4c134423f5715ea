"""Files made to hurt: every checksum is right, the content is not."""

import json
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from slrprune.deploy import load_sparse, save_sparse
from slrprune.errors import DataError

KEY = "slrprune_sparse"


def write(path: Path, index: Any, data: bytes) -> None:
    """A file with this index and data, and the right checksum of the index."""
    text = index if isinstance(index, str) else json.dumps(index)
    content = data + zlib.crc32(text.encode()).to_bytes(4, "little")
    save_file({"data": np.frombuffer(content, np.uint8)}, path, {KEY: text})


def row(data: bytes, *rest: Any, shape: Any = (64,), dtype: str = "float32") -> list[Any]:
    return [["x"], dtype, list(shape), zlib.crc32(data), *rest]


def squeeze(data: bytes) -> bytes:
    encoder = zlib.compressobj(9, zlib.DEFLATED, -15)
    return encoder.compress(data) + encoder.flush()


def gaps_row(count: Any = 2, low: Any = 2, dim: Any = 0, bits: Any = 0, base: Any = 0, lengths: Any = None) -> Any:
    """A tensor of 64 float32 with two values: 17 unary bits, 2 low bits, columns of 4 + 2 + 0 bytes."""
    data = bytes([0b11000000, 0, 0]) + bytes([0b01000000, 0]) + bytes(6)
    lengths = [3, 2, 4, 2, 0] if lengths is None else lengths
    return [row(data, count, low, dim, bits, base, lengths)], data


def test_the_base_of_the_cases_below_is_right(tmp_path: Path) -> None:
    rows, data = gaps_row(base=127)
    write(tmp_path / "file", {"version": 1, "tensors": rows}, data)
    loaded = load_sparse(tmp_path / "file")["x"]
    assert loaded.nonzero().flatten().tolist() == [0, 1]
    assert loaded[0] == loaded[1] == 1.0


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ("not JSON", "the index is not JSON"),
        ("[" * 100_000, "the index is not JSON"),
        ("9" * 10_000, "the index"),
        ("NaN", "the index does not list any tensors"),
        ([], "the index does not list any tensors"),
        ({}, "the index does not list any tensors"),
        ({"version": 1, "tensors": {}}, "the index does not list any tensors"),
        ({"tensors": []}, "the format has version None, this slrprune reads 1"),
        ({"version": 2, "tensors": []}, "the format has version 2, this slrprune reads 1"),
        ({"version": True, "tensors": []}, "the format has version True"),
        ({"version": 1, "tensors": [3]}, "an entry of the index is not a list"),
        ({"version": 1, "tensors": [[[], "float32", [], 0]]}, "an entry of the index is not a list of names"),
        ({"version": 1, "tensors": [["x", "float32", [], 0]]}, "an entry of the index is not a list of names"),
        ({"version": 1, "tensors": [[[3], "float32", [], 0]]}, "an entry of the index is not a list of names"),
        ({"version": 1, "tensors": [[["x"], "float32", [], 0, 1]]}, "a list of names and 3 or 9 further values"),
    ],
    ids=lambda value: "" if len(str(value)) > 60 else None,
)
def test_an_index_that_is_none(index: Any, message: str, tmp_path: Path) -> None:
    write(tmp_path / "file", index, b"")
    with pytest.raises(DataError, match=message):
        load_sparse(tmp_path / "file")


@pytest.mark.parametrize("dtype", ["float31", "F32", "", None, 4, ["float32"], "os.system", "complex128"])
def test_dtypes_that_do_not_exist(dtype: Any, tmp_path: Path) -> None:
    write(tmp_path / "file", {"version": 1, "tensors": [row(bytes(256), dtype=dtype)]}, bytes(256))
    with pytest.raises(DataError, match="'x': the dtype must be one of bool, uint8"):
        load_sparse(tmp_path / "file")


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ([-1], "a length in the shape must be an integer from 0"),
        ([-8, -8], "a length in the shape must be an integer from 0"),
        ([2**63], "a length in the shape must be an integer from 0"),
        ([2**40, 2**40], "the shape has more than"),
        ([2**40, 2**40, 0], "the shape has more than"),
        ([1] * 65, "the shape must be a list of at most 64 integers"),
        ([64.0], "a length in the shape must be an integer"),
        (["64"], "a length in the shape must be an integer"),
        ([True], "a length in the shape must be an integer"),
        ([None], "a length in the shape must be an integer"),
        ([10**4000], "got a number of 13288 bits"),
        ([63], "the data is U8 of shape \\[260\\], the index describes 256 bytes"),
        ([65], "the data is U8 of shape \\[260\\], the index describes 264 bytes"),
    ],
    ids=lambda value: "" if len(str(value)) > 60 else None,
)
def test_shapes_that_cannot_be(shape: Any, message: str, tmp_path: Path) -> None:
    write(tmp_path / "file", {"version": 1, "tensors": [row(bytes(256), shape=shape)]}, bytes(256))
    with pytest.raises(DataError, match=message):
        load_sparse(tmp_path / "file")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": -1}, "the number of values must be an integer from 0 to 64"),
        ({"count": 65}, "the number of values must be an integer from 0 to 64"),
        ({"count": 1.0}, "the number of values must be an integer"),
        ({"count": 3}, "the unary vector has 2 ones, for 3 values"),
        ({"count": 1}, "the length of a part must be an integer from 0 to 2, got 3"),
        ({"low": -1}, "the number of low bits must be an integer from 0 to 32"),
        ({"low": 33}, "the number of low bits must be an integer from 0 to 32"),
        ({"low": 7}, "64 words cannot be cut into 128 at a time"),
        ({"low": "2"}, "the number of low bits must be an integer"),
        ({"dim": 1}, "the dimension must be an integer from 0 to 0"),
        ({"dim": -1}, "the dimension must be an integer from 0 to 0"),
        ({"bits": 5}, "the number of bits must be an integer from 0 to 4"),
        ({"bits": 8, "base": 1}, "the base must be an integer from 0 to 0"),
        ({"base": 256}, "the base must be an integer from 0 to 255"),
        ({"base": -1}, "the base must be an integer from 0 to 255"),
        ({"lengths": 3}, "the lengths must be a list of 5 integers"),
        ({"lengths": [3, 2, 4, 2]}, "the lengths must be a list of 5 integers"),
        ({"lengths": [3, 2, 4, 2, 0, 0, 0]}, "the lengths must be a list of 5 integers"),
        ({"lengths": [4, 2, 4, 2, 0]}, "the length of a part must be an integer from 0 to 3"),
        ({"lengths": [-3, 2, 4, 2, 0]}, "the length of a part must be an integer from 0 to 3"),
        ({"lengths": [3, 2, 4, None, 0]}, "the length of a part must be an integer from 0 to 2"),
        ({"lengths": [2, 2, 4, 2, 0]}, "the data is U8 of shape \\[15\\], the index describes 14 bytes"),
    ],
    ids=str,
)
def test_numbers_of_a_coding(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    rows, data = gaps_row(**change)
    write(tmp_path / "file", {"version": 1, "tensors": rows}, data)
    with pytest.raises(DataError, match=message):
        load_sparse(tmp_path / "file")


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([b"\xff" * 3, bytes(2), bytes(4), bytes(2)], "the unary vector has 24 ones, for 2 values"),
        ([bytes(3), bytes(2), bytes(4), bytes(2)], "the unary vector has 0 ones, for 2 values"),
        ([b"\x80\x00\x01", bytes(2), bytes(4), bytes(2)], "the unary vector has 2 ones, for 2 values"),
        ([b"\xff\xff", bytes(2), bytes(4), bytes(2)], "a compressed part is broken"),
        (
            [squeeze(bytes(2)), bytes(2), bytes(4), bytes(2)],
            "the length of a part must be an integer from 0 to 3, got 4",
        ),
    ],
)
def test_parts_that_do_not_fit_their_row(parts: list[bytes], message: str, tmp_path: Path) -> None:
    data = b"".join(parts)
    rows = [row(data, 2, 2, 0, 0, 0, [*map(len, parts), 0])]
    write(tmp_path / "file", {"version": 1, "tensors": rows}, data)
    with pytest.raises(DataError, match=message):
        load_sparse(tmp_path / "file")


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (squeeze(bytes(125)), "the mask has 0 bits set, for 8 values"),
        (squeeze(b"\xff" + bytes(123)), "a compressed part does not hold exactly 125 bytes"),
        (squeeze(b"\xff" + bytes(125)), "a compressed part does not hold exactly 125 bytes"),
        (squeeze(bytes(10_000_000))[:120], "a compressed part does not hold exactly 125 bytes"),
        (squeeze(b"\xff" + bytes(124)) + b"x", "a compressed part does not hold exactly 125 bytes"),
        (squeeze(b"\xff" + bytes(124))[:-1], "a compressed part does not hold exactly 125 bytes"),
        (zlib.compress(b"\xff" + bytes(124)), "a compressed part is broken"),
        (b"", "a compressed part does not hold exactly 125 bytes"),
        (b"\x07" * 9, "a compressed part is broken"),
    ],
    ids=["no ones", "short", "long", "bomb", "rest", "cut", "header", "nothing", "bad block"],
)
def test_deflate_streams(mask: bytes, message: str, tmp_path: Path) -> None:
    data = mask + bytes(8)
    rows = [row(data, 8, None, 0, 8, 0, [len(mask), 8], shape=[1000], dtype="uint8")]
    write(tmp_path / "file", {"version": 1, "tensors": rows}, data)
    with pytest.raises(DataError, match=f"'x': {message}"):
        load_sparse(tmp_path / "file")


def test_mask_bits_beyond_the_end(tmp_path: Path) -> None:
    data = b"\x80\x01" + bytes([1, 2])
    rows = [row(data, 2, None, 0, 8, 0, [2, 2], shape=[15], dtype="uint8")]
    write(tmp_path / "file", {"version": 1, "tensors": rows}, data)
    with pytest.raises(DataError, match="'x': the mask has 2 bits set, for 2 values"):
        load_sparse(tmp_path / "file")


@pytest.mark.parametrize("coded", [False, True])
def test_bools_that_are_none(coded: bool, tmp_path: Path) -> None:
    """Torch takes such a byte for undefined behaviour."""
    data = b"\x80\x00" + bytes([4]) if coded else bytes([0] * 15 + [2])
    rest = (1, None, 0, 8, 0, [2, 1]) if coded else ()
    write(tmp_path / "file", {"version": 1, "tensors": [row(data, *rest, shape=[16], dtype="bool")]}, data)
    with pytest.raises(DataError, match="'x': a byte of a bool tensor is neither 0 nor 1"):
        load_sparse(tmp_path / "file")


def test_minus_signs_where_there_are_none(tmp_path: Path) -> None:
    data = b"\x80\x00" + bytes([4]) + bytes(2)
    rows = [row(data, 1, None, 0, 8, 0, [2, 1, 2], shape=[16], dtype="int8")]
    write(tmp_path / "file", {"version": 1, "tensors": rows}, data)
    with pytest.raises(DataError, match="the lengths must be a list of 2 integers"):
        load_sparse(tmp_path / "file")


@pytest.mark.parametrize("names", [["x", "x"], ["x"]])
def test_duplicate_names(names: list[str], tmp_path: Path) -> None:
    tensors = [[names, "uint8", [1], zlib.crc32(b"a")]] * (3 - len(names))
    write(tmp_path / "file", {"version": 1, "tensors": tensors}, b"a" * len(tensors))
    with pytest.raises(DataError, match="'x' is listed twice"):
        load_sparse(tmp_path / "file")


def test_other_tensors_in_the_container(tmp_path: Path) -> None:
    text = json.dumps({"version": 1, "tensors": []})
    checksum = np.frombuffer(zlib.crc32(text.encode()).to_bytes(4, "little"), np.uint8)
    for tensors in ({"other": checksum}, {"data": checksum, "other": checksum}, {}):
        save_file(tensors, tmp_path / "file", {KEY: text})
        with pytest.raises(DataError, match="not one that save_sparse wrote"):
            load_sparse(tmp_path / "file")
    for data in (checksum.view(np.int8), checksum[None], checksum.view(np.uint32)):
        save_file({"data": data}, tmp_path / "file", {KEY: text})
        with pytest.raises(DataError, match=r"the data is .*, the index describes 4 bytes"):
            load_sparse(tmp_path / "file")
    save_file({"data": checksum}, tmp_path / "file", {KEY: text})
    assert load_sparse(tmp_path / "file") == {}


def peak(call: Callable[[], object]) -> int:
    """The most bytes that numpy and Python held at a time during a call that must fail with a DataError."""
    tracemalloc.start()
    try:
        with pytest.raises(DataError):
            call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_huge_claims_allocate_nothing(tmp_path: Path) -> None:
    mask = squeeze(bytes(1 << 24))  # 16 kB that inflate to 16 MiB: a tensor of 512 MiB
    rows = [row(mask, 0, None, 0, 0, 0, [len(mask), 0, 0, 0], shape=[1 << 27])]
    write(tmp_path / "file", {"version": 1, "tensors": rows}, mask)
    assert peak(lambda: load_sparse(tmp_path / "file")) < 1 << 20  # beyond the default limit
    assert peak(lambda: load_sparse(tmp_path / "file", max_bytes=(1 << 29) - 1)) < 1 << 20


def test_a_bomb_inflates_only_to_its_real_length(tmp_path: Path) -> None:
    bomb = squeeze(bytes(1 << 26))
    for size, limit in ((1 << 20, 1 << 20), (1 << 23, 1 << 23)):
        stored = bomb[: size // 8 - 1]
        rows = [row(stored, 0, None, 0, 8, 0, [len(stored), 0], shape=[size], dtype="uint8")]
        write(tmp_path / "file", {"version": 1, "tensors": rows}, stored)
        assert peak(lambda: load_sparse(tmp_path / "file", max_bytes=limit)) < limit + (1 << 20)  # noqa: B023


def test_a_huge_header_is_refused_before_it_is_read(tmp_path: Path) -> None:
    header = b'{"__metadata__":{"a":"' + b"x" * (4 << 20) + b'"}}'
    (tmp_path / "file").write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(DataError, match=r"the header claims 4194[0-9]* bytes, at most 1048576 are accepted"):
        load_sparse(tmp_path / "file", max_bytes=0)


def test_memory_beside_the_tensors_is_small(tmp_path: Path) -> None:
    """As documented: the size of the file twice, and a few MiB."""
    weight = torch.where(torch.rand(1024, 2048) < 0.1, torch.randn(1024, 2048), 0)
    size = save_sparse({"x": weight}, tmp_path / "file")
    target = torch.nn.Linear(2048, 1024, bias=False)
    save_sparse({"weight": weight}, tmp_path / "file")
    tracemalloc.start()
    load_sparse(tmp_path / "file", target)
    used = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert torch.equal(target.weight, weight)
    assert used < 2 * size + (4 << 20)
