"""The reader in docs/file_format.md works as it stands there, with numpy, safetensors and the standard library."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from slrprune.deploy import save_sparse
from slrprune.deploy.sparse_file import dtypes

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "file_format.md"

# Writes the bytes of every tensor to a file of its own, in the order of the dictionary.
PROGRAM = """
{reader}
import sys
assert "torch" not in sys.modules and "slrprune" not in sys.modules
for number, (name, array) in enumerate(read_sparse(sys.argv[1]).items()):
    with open(f"{{sys.argv[2]}}/{{number}}", "wb") as file:
        file.write(f"{{name}} {{list(array.shape)}} {{array.dtype}}\\n".encode() + array.tobytes())
"""


@pytest.fixture(scope="module")
def reader() -> str:
    blocks = [part.split("```")[0] for part in DOCUMENT.read_text(encoding="utf-8").split("```python\n")[1:]]
    assert len(blocks) == 1
    return blocks[0]


def test_it_is_short(reader: str) -> None:
    assert len(reader.splitlines()) < 30
    assert max(map(len, reader.splitlines())) <= 128


def test_it_reads_what_save_sparse_writes(
    reader: str, tmp_path: Path, make_pruned: Callable[..., Tensor], as_bits: Callable[[Tensor], bytes]
) -> None:
    state = {}
    for dtype in dtypes._BY_NAME.values():
        for shape in ((), (0,), (5,), (300,), (32, 64), (32, 16, 3, 3)):
            for density in (0.0, 0.03, 0.3, 1.0):
                values = torch.ones(shape) if dtype.name == "bool" else torch.randn(shape)
                tensor = torch.where(torch.rand(shape) < density, values, 0).to(dtype.torch_dtype)
                state[f"{dtype.name}/{'x'.join(map(str, shape))}/{density}"] = tensor
    state["minus"] = torch.randn(64, 64) * (torch.rand(64, 64) < 0.2)
    state["groups"] = torch.where(torch.rand(16, 8, 4, 9).argsort(2) < 2, torch.randn(16, 8, 4, 9), 0).half()
    state["groups"] = state["groups"].reshape(16, 32, 9)
    state["resnet"] = make_pruned((256, 128, 3, 3), 0.9)
    state["again"] = state["resnet"]
    save_sparse(state, tmp_path / "file")
    (tmp_path / "out").mkdir()
    command = [sys.executable, "-I", "-c", PROGRAM.format(reader=reader), tmp_path / "file", tmp_path / "out"]
    subprocess.run(command, check=True)
    found = {}
    for path in (tmp_path / "out").iterdir():
        line, _, content = path.read_bytes().partition(b"\n")
        found[line.decode()] = content
    expected = {}
    for name, tensor in state.items():
        numpy_dtype = "bool" if tensor.dtype == torch.bool else str(tensor.dtype)[6:]
        numpy_dtype = {"bfloat16": "uint16"}.get(numpy_dtype, "uint8" if "float8" in numpy_dtype else numpy_dtype)
        expected[f"{name} {list(tensor.shape)} {numpy_dtype}"] = as_bits(tensor)
    assert found == expected


def test_every_coding_occurs_in_these_tests(small_file: Path) -> None:
    """Else the comparison above would say less than it seems to."""
    from slrprune.deploy.sparse_file.container import opened
    from slrprune.deploy.sparse_file.positions import Bitmask, Gaps

    with opened(small_file, 1 << 30) as container:
        codings = {row.name: row.coding for row in container.rows}
    assert isinstance(codings["gaps"].positions, Gaps)
    assert isinstance(codings["mask"].positions, Bitmask)
    assert codings["groups"].dim == 1
    assert codings["blocks"].has_minus
    assert codings["dense"] is None
    assert codings["flags"].bits == 0
