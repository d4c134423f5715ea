"""Whether there are kernels, why not, and that it is said once; which instruction set is in use."""

import logging
import os
import re
import subprocess
import sys

import pytest
import torch

from slrprune.deploy import kernels
from slrprune.deploy.kernels import build, native
from slrprune.errors import ArgumentError, UsageError

WAY_OUT = "With a C compiler, `python -m slrprune.deploy.kernels.build` compiles them."


@pytest.fixture
def _not_looked(monkeypatch):
    """As in a process that has not asked for the kernels yet."""
    monkeypatch.setattr(native, "_found", None)
    monkeypatch.setattr(native, "_told", False)
    monkeypatch.delenv("SLRPRUNE_KERNELS", raising=False)


@pytest.mark.usefixtures("_not_looked")
def test_a_missing_library_is_said_once_and_named_in_errors(monkeypatch, tmp_path, caplog):
    monkeypatch.setattr(build, "LIBRARY", tmp_path / "_slrk.so")
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            assert not kernels.is_available()
    reason = "they are not built on Windows" if sys.platform == "win32" else "they were not compiled when slrprune was"
    assert kernels.why_unavailable().startswith(reason)
    assert kernels.instruction_sets() == ()
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith(
        "Pruned layers run on dense torch: the sparse kernels are not available: they"
    )
    assert record.getMessage().endswith(WAY_OUT)
    with pytest.raises(
        UsageError, match=re.escape(f"the sparse kernels are not available: {kernels.why_unavailable()}")
    ):
        kernels.pack_linear(torch.ones(2, 2))
    with pytest.raises(UsageError, match=re.escape(WAY_OUT)):
        kernels.instruction_set()


@pytest.mark.usefixtures("_not_looked", "_library")
def test_a_library_of_other_sources_is_not_loaded(monkeypatch, tmp_path):
    stale = tmp_path / "_slrk.so"
    stale.write_bytes(build.LIBRARY.read_bytes().replace(build.digest().encode(), b"0" * 64))
    monkeypatch.setattr(build, "LIBRARY", stale)
    monkeypatch.setattr(build.is_current, "__defaults__", (stale,))
    assert not build.is_current()
    native._found = None
    assert kernels.why_unavailable() == "their sources have changed since they were compiled"


@pytest.mark.usefixtures("_not_looked")
def test_a_file_that_is_no_library(monkeypatch, tmp_path):
    broken = tmp_path / "_slrk.so"
    broken.write_bytes(b"no library, but with the digest " + build.digest().encode())
    monkeypatch.setattr(build, "LIBRARY", broken)
    monkeypatch.setattr(build.is_current, "__defaults__", (broken,))
    assert kernels.why_unavailable().startswith("the library cannot be loaded (")


@pytest.mark.usefixtures("_not_looked")
def test_off_is_silent(monkeypatch, caplog):
    monkeypatch.setenv("SLRPRUNE_KERNELS", "off")
    with caplog.at_level(logging.INFO):
        assert kernels.why_unavailable() == "SLRPRUNE_KERNELS=off turns them off"
    assert not caplog.records


@pytest.mark.usefixtures("_library")
def test_the_variable_chooses_an_instruction_set(monkeypatch):
    before, found = kernels.instruction_set(), native._found
    try:
        for name in kernels.instruction_sets():
            native._found = None
            monkeypatch.setenv("SLRPRUNE_KERNELS", name)
            assert kernels.is_available()
            assert kernels.instruction_set() == name
        native._found = None
        monkeypatch.setenv("SLRPRUNE_KERNELS", "sse9")
        reason = "SLRPRUNE_KERNELS=sse9 asks for an instruction set that this machine does not have"
        assert kernels.why_unavailable() == reason
        with pytest.raises(UsageError, match=f"{reason}. Unset SLRPRUNE_KERNELS, and the fastest one is used"):
            kernels.pack_linear(torch.ones(2, 2))
    finally:
        native._found = found
        native.use_instruction_set(before)


def test_a_program_runs_without_kernels():
    code = (
        "import torch\n"
        "from slrprune.deploy import kernels\n"
        "assert not kernels.is_available()\n"
        "from slrprune.deploy.kernels import ops\n"
        "try:\n"
        "    torch.ops.slrprune.sparse_linear(torch.ones(1, 2), torch.zeros(8, dtype=torch.uint8), 2, False)\n"
        "except RuntimeError as error:\n"
        "    print(error)\n"
    )
    environment = os.environ | {"SLRPRUNE_KERNELS": "off", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == (
        "slrprune.deploy.kernels: the sparse kernels are not available: SLRPRUNE_KERNELS=off turns them off. "
        "Unset SLRPRUNE_KERNELS."
    )
    assert not done.stderr


@pytest.mark.usefixtures("_library")
def test_instruction_sets_of_this_machine():
    names = kernels.instruction_sets()
    assert names[-1] == "baseline"
    assert kernels.instruction_set() in names
    known = ", ".join(names)
    with pytest.raises(ArgumentError, match=rf"use_instruction_set\(name='mmx'\): name must be one of .*: {known}"):
        native.use_instruction_set("mmx")
