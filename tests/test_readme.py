"""The documents are executed: what a reader copies from README, CONTRIBUTING or docs/ works as it stands.

A block marked ```python is run, the blocks of one document one after the other in one namespace, which holds what the
reader has already: a model, an optimizer, a loader, a criterion. After the comment <!-- new program --> the reader
starts anew. A block that cannot run is marked ```python no-run, after a comment <!-- not run: REASON -->. A ```text
block after the comment <!-- output --> is what the Python block before it prints. Lines that begin with `slrprune` in a
```console block must be lines that the command line takes.
"""

import contextlib
import io
import re
import shlex
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import typer.main
from torch import nn

from slrprune.cli.app import app

REPOSITORY = Path(__file__).resolve().parents[1]
DOCUMENTS = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
FENCE = re.compile(r"^(?P<ticks>`{3,})(?P<info>[^\n`]*)\n(?P<code>.*?)^(?P=ticks)[ \t]*$", re.MULTILINE | re.DOTALL)
LANGUAGES = {"bibtex", "console", "json", "make", "math", "python", "python no-run", "text", "toml", "yaml"}


def name(path: Path) -> str:
    """A document as a test's name."""
    return path.relative_to(REPOSITORY).as_posix()


COMMENT = re.compile(r"<!-- ([^\n]*) -->\n\n?$")


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes:
        program: the number of the program it belongs to.
        info: its mark.
        line: of its first line of code, 1-based.
        code: what is in it.
        comment: the HTML comment directly before it, empty where there is none.
    """

    program: int
    info: str
    line: int
    code: str
    comment: str


def blocks(text: str) -> Iterator[Block]:
    """The fenced blocks of a Markdown text, in order."""
    for match in FENCE.finditer(text):
        program = text.count("<!-- new program -->", 0, match.start())
        line = text.count("\n", 0, match.start("code")) + 1
        before = COMMENT.search(text, 0, match.start())
        yield Block(program, match["info"].strip(), line, match["code"], before[1] if before else "")


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
    """Runs the Python blocks of a document, each of its programs from a new namespace, and compares marked outputs.

    A traceback shows the document's own lines.
    """
    namespaces: dict[int, dict[str, Any]] = {}
    printed = io.StringIO()
    for block in blocks(path.read_text(encoding="utf-8")):
        if block.info == "python":
            if block.program not in namespaces:
                namespaces[block.program] = programs()
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile("\n" * (block.line - 1) + block.code, str(path), "exec"), namespaces[block.program])
        elif block.comment == "output":
            assert printed.getvalue() == block.code, f"{path.name}, line {block.line}: the output is another"


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_python_blocks_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run(path, reader_has)


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_every_block_says_what_it_is(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    found = list(blocks(text))
    assert 2 * len(found) == len(re.findall(r"^`{3,}", text, re.MULTILINE)), "a fence that is not closed, or indented"
    assert [block for block in found if block.info not in LANGUAGES] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_a_block_that_is_not_run_says_why(path: Path) -> None:
    for block in blocks(path.read_text(encoding="utf-8")):
        if block.info == "python no-run":
            assert block.comment.startswith("not run: "), f"{path.name}, line {block.line}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_command_lines_are_those_of_the_command(path: Path) -> None:
    verbs = typer.main.get_command(app).commands
    for line in command_lines(path.read_text(encoding="utf-8")):
        verb, *words = shlex.split(line, comments=True)[1:]
        if verb.startswith("-"):
            continue
        assert verb in verbs, f"{path.name}: {line}"
        options = {
            option for parameter in verbs[verb].params for option in (*parameter.opts, *parameter.secondary_opts)
        }
        used = {word.partition("=")[0] for word in words if word.startswith("-")}
        assert used <= {*options, "--help"}, f"{path.name}: {line}"


def command_lines(text: str) -> Iterator[str]:
    """What begins with `slrprune` in the console blocks and in the inline code of a Markdown text."""
    for block in blocks(text):
        if block.info == "console":
            joined = block.code.replace("\\\n", " ")
            yield from (line for line in joined.splitlines() if line.startswith("slrprune "))
    for code in re.findall(r"`(slrprune\s[^`]+)`", FENCE.sub("", text)):
        yield " ".join(code.split())


def test_a_wrong_command_line_would_be_noticed() -> None:
    text = "```console\nslrprune demo --quick \\\n  --x\n# slrprune\n```\n`slrprune tasks`, `slrprune\ntasks`\n"
    assert list(command_lines(text)) == ["slrprune demo --quick    --x", "slrprune tasks", "slrprune tasks"]


def test_readme_begins_with_the_program_and_keeps_a_place_for_the_table() -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    program = next(block for block in blocks(text) if block.info == "python")
    assert "slr.Pruner(" in program.code
    assert "pruner.finalize()" in program.code
    assert text.count("<!-- demo-table:begin -->") == text.count("<!-- demo-table:end -->") == 1
    assert text.index("<!-- demo-table:begin -->") < text.index("<!-- demo-table:end -->")


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
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


def test_an_output_that_is_another_is_noticed(tmp_path: Path) -> None:
    document = tmp_path / "output.md"
    document.write_text("```python\nprint(1)\n```\n\n<!-- output -->\n\n```text\n1\n```\n", encoding="utf-8")
    run(document, dict)
    document.write_text(document.read_text().replace("```text\n1", "```text\n2"), encoding="utf-8")
    with pytest.raises(AssertionError, match=r"output\.md, line 8: the output is another"):
        run(document, dict)


def test_a_new_program_starts_anew(tmp_path: Path) -> None:
    document = tmp_path / "two.md"
    block = "```python\nassert 'x' not in globals()\nx = 1\n```\n"
    document.write_text(f"{block}<!-- new program -->\n{block}", encoding="utf-8")
    run(document, dict)
    document.write_text(f"{block}{block}", encoding="utf-8")
    with pytest.raises(AssertionError):
        run(document, dict)
