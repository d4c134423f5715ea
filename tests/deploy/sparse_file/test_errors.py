"""What cannot be saved or read is refused in one sentence, and an old file survives."""

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from slrprune.deploy import load_sparse, save_sparse
from slrprune.deploy.sparse_file.errors import FileWriteError
from slrprune.errors import ArgumentError, DataError


class Extra(nn.Linear):
    """A module with a state of its own kind."""

    def get_extra_state(self) -> dict[str, int]:
        """Not a tensor."""
        return {"step": 1}

    def set_extra_state(self, state: dict[str, int]) -> None:
        """Ignores it."""


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (3, "must be a module, or a mapping from names to tensors"),
        ([torch.zeros(1)], "must be a module, or a mapping"),
        ({1: torch.zeros(1)}, "must have strings as keys"),
        ({"epoch": 3}, "must hold tensors only, but epoch is of type int. Pass the state dict of the model alone."),
        (Extra(2, 2), "must hold tensors only, but _extra_state is of type dict. Save what is not a tensor elsewhere."),
        ({"x": torch.zeros(2, 2).to_sparse()}, "must hold dense tensors, but x is not. Convert it with to_dense"),
        ({"x": torch.zeros(2, device="meta")}, "must hold data, but x is on the meta device"),
        ({"x": torch.zeros(2, dtype=torch.complex128)}, "dtypes that the file knows, but x is torch.complex128"),
        (nn.LazyLinear(2), "must hold plain tensors, but weight is a UninitializedParameter. Gather or unwrap it"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_what_cannot_be_saved(state: Any, message: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(ArgumentError, match=message):
        save_sparse(state, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"old"


@pytest.mark.filterwarnings("ignore:.*quantize_per_tensor:UserWarning")
def test_quantized_tensors_are_refused(tmp_path: Path) -> None:
    tensor = torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)
    with pytest.raises(ArgumentError, match=r"x is not. Convert it with to_dense\(\) or dequantize"):
        save_sparse({"x": tensor}, tmp_path / "file")


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(
        FileWriteError, match=r"cannot write: No such file or directory. What was there before is untouch"
    ):
        save_sparse({}, tmp_path / "nowhere" / "file")


def test_a_folder_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(FileWriteError, match="cannot write: Is a directory"):
        save_sparse({}, tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_is_full_at_the_end(call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    save_sparse({"x": torch.ones(3)}, tmp_path / "file")
    monkeypatch.setattr(os if call == "fsync" else Path, call, fail)
    with pytest.raises(FileWriteError, match=r"cannot write: No space left on device") as caught:
        save_sparse({"x": torch.zeros(3)}, tmp_path / "file")
    assert caught.value.errno == errno.ENOSPC
    assert isinstance(caught.value, (OSError, DataError))
    assert torch.equal(load_sparse(tmp_path / "file")["x"], torch.ones(3))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(sys.platform == "win32", reason="has no limit on the size of files")
def test_a_real_limit_on_the_size_of_files(tmp_path: Path) -> None:
    program = """
import resource, sys, torch
from slrprune.deploy import save_sparse
save_sparse({"x": torch.ones(3)}, sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    save_sparse({"x": torch.randn(10_000)}, sys.argv[1])
except OSError as error:
    assert "File too large" in str(error), error
else:
    raise SystemExit("nothing was raised")
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", program, tmp_path / "file"], check=True, env=environment)
    assert torch.equal(load_sparse(tmp_path / "file")["x"], torch.ones(3))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(sys.platform == "win32", reason="permissions work in another way")
def test_permissions_and_links_are_kept(tmp_path: Path) -> None:
    umask = os.umask(0o022)
    try:
        save_sparse({}, tmp_path / "file")
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o644
    (tmp_path / "file").chmod(0o600)
    (tmp_path / "link").symlink_to("file")
    save_sparse({"x": torch.ones(1)}, tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600
    assert list(load_sparse(tmp_path / "file")) == ["x"]


def test_a_file_may_be_saved_over_the_one_in_use(tmp_path: Path) -> None:
    path = tmp_path / "file"
    save_sparse({"x": torch.ones(1000, 10)}, path)
    state = load_sparse(path)
    save_sparse({"x": state["x"] * 2}, path)
    assert torch.equal(load_sparse(path)["x"], torch.full((1000, 10), 2.0))
    assert torch.equal(state["x"], torch.ones(1000, 10))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read: No such file or directory. Check the path."),
        (b"", "not a safetensors file, or its end is missing: it has 0 bytes"),
        (b"abc", "or its end is missing: it has 3 bytes"),
        (b"PK\x03\x04" + bytes(100), "it is not a safetensors file"),
        (bytes(8), "it is not a safetensors file"),
        ((2**63).to_bytes(8, "little") + bytes(100), "or its end is missing"),
    ],
    ids=["missing", "empty", "short", "zip", "no header", "huge header"],
)
def test_what_is_no_sparse_file(content: bytes | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "file").write_bytes(content)
    with pytest.raises(DataError, match=message):
        load_sparse(tmp_path / "file")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read: Is a directory"):
        load_sparse(tmp_path)


def test_the_model_does_not_come_first(tmp_path: Path) -> None:
    model: Any = nn.Linear(3, 2)
    save_sparse(model, tmp_path / "file")
    with pytest.raises(
        ArgumentError, match=r"load_sparse\(path='Linear'\): path must be a path\. The path comes first"
    ):
        load_sparse(model, tmp_path / "file")  # type: ignore[arg-type]


def test_an_ordinary_safetensors_file(tmp_path: Path) -> None:
    save_file({"data": torch.zeros(3)}, tmp_path / "file")
    with pytest.raises(DataError, match="it is a safetensors file, but not one that save_sparse wrote"):
        load_sparse(tmp_path / "file")


@pytest.mark.parametrize("value", [-1, 1.5, "1GB", True])
def test_max_bytes_must_be_a_number_of_bytes(value: Any, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="max_bytes must be a number of bytes, or None"):
        load_sparse(tmp_path / "file", max_bytes=value)


def test_max_bytes_is_exact(tmp_path: Path) -> None:
    save_sparse({"x": torch.zeros(1000), "y": torch.zeros(1000, dtype=torch.half)}, tmp_path / "file")
    load_sparse(tmp_path / "file", max_bytes=6000)
    with pytest.raises(
        DataError, match=r"the tensors take 6000 bytes, max_bytes allows 5999. If you trust the file, pass"
    ):
        load_sparse(tmp_path / "file", max_bytes=5999)
