"""Every example runs as it is, is short, and shows what it says."""

import runpy
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))
NEEDS = {
    "lightning_module": "lightning",
    "structured_shrink": "torch_pruning",
    "timm_loop": "timm",
    "trainer": "transformers",
}
SAYS = {
    "nm": "every group of four obeys: True",
    "own_method": "the right support: True",
    "own_set": "72 of 576 weights kept",
    "resume": "bit-identical: True",
}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if path.stem in NEEDS:
        pytest.importorskip(NEEDS[path.stem])
    runpy.run_path(str(path), run_name="__main__")
    out = capsys.readouterr().out
    assert out.strip()
    assert SAYS.get(path.stem, "") in out


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_is_short(path: Path) -> None:
    """10 to 40 lines of code, and the command in its first lines."""
    text = path.read_text(encoding="utf-8")
    code = [line for line in text.split('"""', 2)[2].splitlines() if line.strip()]
    assert 10 <= len(code) <= 40
    assert f"python examples/{path.name}" in text.split('"""', 2)[1]


def test_one_example_for_each_idea() -> None:
    ideas = {"nm", "own_method", "own_set", "per_layer_rules", "plain_loop", "resume", "structured_shrink"}
    assert ideas <= {path.stem for path in EXAMPLES}
