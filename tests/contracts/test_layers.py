"""Imports run one way: a part of the package may import what lies below it, wherever the import is written."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import slrprune

LAYERS = (
    "errors",
    "batchnorm distributed durable machine macs seeding user_code",
    "atomic",
    "sets+budget",  # a budget is a part of the set `Global`, and public on its own
    "rules",
    "records target",
    "structures",
    "deploy report tasks",
    "methods",
    "masks checks",
    "binding counting state",
    "pruner",
    "adapters analysis config oneshot",
    "train",
    "compare",
    "cli",
    "__main__",
)
"""The parts of the package, lower ones first; parts of one line do not know each other, except where a + joins them."""

LEVEL = {part: level for level, line in enumerate(LAYERS) for part in line.replace("+", " ").split()}
JOINED = {frozenset(group.split("+")) for line in LAYERS for group in line.split() if "+" in group}
SOURCE = Path(slrprune.__file__).parent
MODULES = [path for path in sorted(SOURCE.rglob("*.py")) if path != SOURCE / "__init__.py"]


def imported(text: str) -> Iterator[tuple[int, str]]:
    """Line and part for every import from the package: at the top, inside functions, and for type checkers."""
    for node in ast.walk(ast.parse(text)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"line {node.lineno}: imports are absolute"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            names = [str(word.value) for word in ast.walk(node) if isinstance(word, ast.Constant)]
        for name in names:
            package, _, rest = name.partition(".")
            if package == "slrprune":
                yield node.lineno, rest.partition(".")[0]


def upward(part: str, text: str) -> list[str]:
    """The imports of a module of `part` that do not go down, one sentence each."""
    found = []
    for line, other in imported(text):
        if other in (part, "", "__version__") or frozenset((part, other)) in JOINED:
            continue
        if other not in LEVEL:
            found.append(f"line {line}: {other} has no place in LAYERS; import it from where it is defined")
        elif LEVEL[other] >= LEVEL[part]:
            found.append(f"line {line}: {part} must not import {other}")
    return found


def test_every_part_has_its_place_and_every_place_its_part():
    parts = {path.relative_to(SOURCE).parts[0].removesuffix(".py") for path in MODULES}
    assert parts == set(LEVEL)
    assert len(LEVEL) == sum(len(line.replace("+", " ").split()) for line in LAYERS)


@pytest.mark.parametrize("part", LEVEL)
def test_imports_run_one_way(part):
    paths = [path for path in MODULES if path.relative_to(SOURCE).parts[0].removesuffix(".py") == part]
    found = [f"{path.relative_to(SOURCE)}, {problem}" for path in paths for problem in upward(part, path.read_text())]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("part", "text", "problem"),
    [
        ("train", "from slrprune.cli.consoles import err", "line 1: train must not import cli"),
        ("train", "def f():\n    from slrprune.compare import Plan", "line 2: train must not import compare"),
        ("deploy", "from slrprune import methods", "line 1: deploy must not import methods"),
        ("report", "import slrprune.deploy", "line 1: report must not import deploy"),
        ("sets", 'import_module("slrprune.rules")', "line 1: sets must not import rules"),
        ("cli", "from slrprune import SLR", "line 1: SLR has no place"),
    ],
)
def test_an_upward_import_is_seen(part, text, problem):
    (found,) = upward(part, text)
    assert found.startswith(problem)


@pytest.mark.parametrize(
    ("part", "text"),
    [
        ("cli", "from slrprune.train import run"),
        ("sets", "from slrprune import budget"),
        ("report", "import slrprune"),
        ("compare", "from slrprune import __version__"),
        ("errors", "from json import loads"),
    ],
)
def test_a_downward_import_is_fine(part, text):
    assert upward(part, text) == []
