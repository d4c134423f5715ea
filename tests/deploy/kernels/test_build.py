"""Compiling the kernels: what goes wrong is said, and an install goes on without them."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.tags import Tag, parse_tag, platform_tags

from slrprune.deploy.kernels import build

REPOSITORY = Path(__file__).resolve().parents[3]
LIBRARY = "slrprune/deploy/kernels/_slrk.so"


def wheel(folder: Path, **environment: str) -> tuple[Path, str]:
    """A wheel of this repository, and what hatchling said."""
    pytest.importorskip("hatchling", reason="building a wheel needs hatchling")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    done = subprocess.run(
        command, cwd=REPOSITORY, env=os.environ | environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.whl")
    return path, done.stdout + done.stderr


def tags(path: Path) -> frozenset[Tag]:
    """From the wheel's metadata, which must agree with its name."""
    with zipfile.ZipFile(path) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/WHEEL")]
        lines = archive.read(name).decode().splitlines()
    found = frozenset().union(*(parse_tag(line.removeprefix("Tag: ")) for line in lines if line.startswith("Tag: ")))
    assert found == parse_tag("-".join(path.stem.split("-")[-3:]))
    return found


def test_no_compiler(monkeypatch, tmp_path):
    monkeypatch.setenv("CC", "/nonexistent/cc -O1")
    with pytest.raises(build.BuildError, match="the C compiler that CC names was not found: /nonexistent/cc -O1"):
        build.build(tmp_path / "out.so")
    monkeypatch.delenv("CC")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(build.BuildError, match="no C compiler was found"):
        build.compiler()
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(build.BuildError, match="vector extensions of GCC and Clang, and are not built on Windows"):
        build.compiler()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell script as compiler")
def test_a_compiler_that_fails_is_quoted_and_leaves_the_old_library(monkeypatch, tmp_path):
    compiler, output = tmp_path / "cc", tmp_path / "out.so"
    compiler.write_text("#!/bin/sh\necho vec.h: too modern for me >&2\nexit 1\n")
    compiler.chmod(0o755)
    output.write_text("old")
    monkeypatch.setenv("CC", str(compiler))
    with pytest.raises(build.BuildError, match=r"cc .*-c .* failed: vec.h: too modern for me"):
        build.build(output)
    assert output.read_text() == "old"


def test_a_library_is_current_only_for_the_sources_it_was_built_from(monkeypatch, tmp_path):
    library = tmp_path / "out.so"
    assert not build.is_current(library)
    library.write_bytes(b"..." + build.digest().encode() + b"...")
    assert build.is_current(library)
    (tmp_path / "csrc").mkdir()
    (tmp_path / "csrc" / "api.c").write_text("int changed;")
    monkeypatch.setattr(build, "FOLDER", tmp_path)
    assert not build.is_current(library)


def test_a_wheel_without_a_compiler_is_for_any_machine(tmp_path):
    path, said = wheel(tmp_path, CC="/nonexistent/cc")
    assert tags(path) == parse_tag("py3-none-any")
    assert "without its sparse CPU kernels: the C compiler that CC names was not found: /nonexistent/cc" in said
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    assert LIBRARY not in names
    assert "slrprune/deploy/kernels/csrc/api.c" in names  # `python -m slrprune.deploy.kernels.build` needs them


@pytest.mark.slow
def test_a_wheel_with_a_compiler_holds_a_library_that_works(tmp_path):
    try:
        build.compiler()
    except build.BuildError as error:
        pytest.skip(str(error))
    path, _ = wheel(tmp_path)
    (tag,) = tags(path)
    assert (tag.interpreter, tag.abi) == ("py3", "none")
    assert tag.platform in platform_tags()
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "installed")
    assert (tmp_path / "installed" / LIBRARY).exists()
    code = (
        "import slrprune, torch; from slrprune.deploy import kernels; "
        "x = torch.randn(20, 30); w = torch.randn(10, 30); w[w.abs() < 1] = 0; "
        "torch.testing.assert_close(kernels.pack_linear(w)(x), x @ w.T, rtol=1e-4, atol=1e-4); print(slrprune.__file__)"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "installed"), "SLRPRUNE_KERNELS": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(tmp_path))
