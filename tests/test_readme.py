"""The documents are executed: what a reader copies from README, CONTRIBUTING or docs/ works as it stands.

A block marked ```python is run, the blocks of one document one after the other in one namespace, which holds what the
reader has already: a model, an optimizer, a loader, a criterion. After the comment <!-- new program --> the reader
starts anew. A block that cannot run is marked ```python no-run.
"""

import re
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

REPOSITORY = Path(__file__).resolve().parents[1]
DOCUMENTS = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
FENCE = re.compile(r"^(?P<ticks>`{3,})(?P<info>[^\n`]*)\n(?P<code>.*?)^(?P=ticks)[ \t]*$", re.MULTILINE | re.DOTALL)
LANGUAGES = {"bibtex", "console", "json", "make", "math", "python", "python no-run", "text", "toml", "yaml"}


@dataclass(frozen=True)
class Block:
    """One fenced block: the program it belongs to, its mark, the line of its first line of code (1-based), the code."""

    program: int
    info: str
    line: int
    code: str


def blocks(text: str) -> Iterator[Block]:
    """The fenced blocks of a Markdown text, in order."""
    for match in FENCE.finditer(text):
        program = text.count("<!-- new program -->", 0, match.start())
        yield Block(program, match["info"].strip(), text.count("\n", 0, match.start("code")) + 1, match["code"])


def reader_has() -> dict[str, Any]:
    """The names a document may use without defining them: a tiny network and two tiny batches."""
    body = nn.Sequential(nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.AdaptiveAvgPool2d(4), nn.Flatten())
    model = nn.Sequential(OrderedDict(stem=nn.Conv2d(3, 8, 3, padding=1), body=body, classifier=nn.Linear(128, 8)))
    return {
        "__name__": "__main__",
        "model": model,
        "optimizer": torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9),
        "criterion": nn.CrossEntropyLoss(),
        "loader": [(torch.randn(4, 3, 8, 8), torch.randint(8, (4,))) for _ in range(4)],
        "epochs": 5,
        "device": "cpu",
    }


def run(path: Path, programs: Callable[[], dict[str, Any]]) -> None:
    """Runs the Python blocks of a document, each of its programs from a new namespace.

    A traceback shows the document's own lines.
    """
    namespaces: dict[int, dict[str, Any]] = {}
    for block in blocks(path.read_text(encoding="utf-8")):
        if block.info == "python":
            if block.program not in namespaces:
                namespaces[block.program] = programs()
            exec(compile("\n" * (block.line - 1) + block.code, str(path), "exec"), namespaces[block.program])


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_python_blocks_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run(path, reader_has)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_block_says_what_it_is(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    found = list(blocks(text))
    assert 2 * len(found) == len(re.findall(r"^`{3,}", text, re.MULTILINE)), "a fence that is not closed, or indented"
    assert [block for block in found if block.info not in LANGUAGES] == []


def test_readme_begins_with_the_program_and_keeps_a_place_for_the_table() -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    program = next(block for block in blocks(text) if block.info == "python")
    assert "slr.Pruner(" in program.code
    assert "pruner.finalize()" in program.code
    assert text.count("<!-- demo-table:begin -->") == text.count("<!-- demo-table:end -->") == 1
    assert text.index("<!-- demo-table:begin -->") < text.index("<!-- demo-table:end -->")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_make_targets_exist(path: Path) -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z-]+)", "\n".join(re.findall(r"`[^`]*`", path.read_text(encoding="utf-8")))))
    assert named <= targets


def test_links_to_files_lead_somewhere() -> None:
    for path in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_a_broken_block_is_noticed_at_its_own_line(tmp_path: Path) -> None:
    document = tmp_path / "broken.md"
    document.write_text("Text.\n\n```python\nx = 1\nraise ValueError(x)\n```\n", encoding="utf-8")
    with pytest.raises(ValueError, match="1") as caught:
        run(document, dict)
    assert caught.traceback[-1].lineno == 4  # 0-based: the fifth line of the document


def test_blocks_marked_otherwise_are_not_run(tmp_path: Path) -> None:
    document = tmp_path / "other.md"
    document.write_text("```python no-run\nraise ValueError\n```\n\n```text\n!\n```\n", encoding="utf-8")
    run(document, dict)


def test_a_new_program_starts_anew(tmp_path: Path) -> None:
    document = tmp_path / "two.md"
    block = "```python\nassert 'x' not in globals()\nx = 1\n```\n"
    document.write_text(f"{block}<!-- new program -->\n{block}", encoding="utf-8")
    run(document, dict)
    document.write_text(f"{block}{block}", encoding="utf-8")
    with pytest.raises(AssertionError):
        run(document, dict)
