"""The notebooks run from top to bottom, without a kernel: Jupytext turns them into cells."""

import contextlib
import io
from pathlib import Path
from typing import Any

import pytest

jupytext = pytest.importorskip("jupytext", reason="needs jupytext, of the extra docs")
pytest.importorskip("sklearn", reason="needs scikit-learn, of the extra demo")

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.md"))


def run(path: Path) -> tuple[dict[str, Any], str]:
    """The names a notebook leaves, and what it prints; a traceback names the cell."""
    names: dict[str, Any] = {"__name__": "__main__"}
    printed = io.StringIO()
    cells = [cell.source for cell in jupytext.read(path).cells if cell.cell_type == "code"]
    with contextlib.redirect_stdout(printed):
        for number, source in enumerate(cells, 1):
            exec(compile(source, f"{path.name}, cell {number}", "exec"), names)
    return names, printed.getvalue()


def test_there_are_two() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["methods_at_equal_budget", "what_pruning_did"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names, printed = run(path)
    assert "dense:" in printed
    if path.stem == "what_pruning_did":
        assert names["report"].sparsity == pytest.approx(0.95, abs=1e-4)
        assert names["report"].layers[0].sparsity < names["report"].sparsity  # as the text says
    else:
        assert set(names["table"]) == {"SLR", "GradualMagnitude", "ADMM", "OneShot"}
        assert all(0 <= value <= 100 for row in names["table"].values() for value in row)


def test_a_broken_cell_is_noticed(tmp_path: Path) -> None:
    broken = tmp_path / "broken.md"
    broken.write_text("# Title\n\n```python\nx = 1\n```\n\n```python\nassert x == 2\n```\n")
    with pytest.raises(AssertionError) as caught:
        run(broken)
    assert str(caught.traceback[-1].path).endswith("broken.md, cell 2")
