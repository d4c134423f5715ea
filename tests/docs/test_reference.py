"""The reference names every public name once, and every public name has a docstring.

Read from the source, without importing it: a package that needs an extra is looked at all the same.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
REFERENCE = sorted((REPOSITORY / "docs" / "reference").glob("*.md"))

griffe = pytest.importorskip("griffe", reason="needs griffe, of the extra docs")


@cache
def package() -> "griffe.Module":
    """The package as griffe reads it."""
    return griffe.load("slrprune", search_paths=[REPOSITORY / "src"], resolve_aliases=True, resolve_external=False)


def modules(module: "griffe.Module") -> Iterator["griffe.Module"]:
    """A module and all those in it."""
    yield module
    for inner in module.modules.values():
        if not inner.is_alias:
            yield from modules(inner)


def target(path: str) -> "griffe.Object":
    """What a dotted path means in the end; of a function and a module of the same name, the function."""
    found = _final(package()[path.removeprefix("slrprune.")])
    return _final(found.members[found.name]) if found.is_module else found


def _final(found: "griffe.Object | griffe.Alias") -> "griffe.Object":
    return found.final_target if found.is_alias else found


def public() -> dict[str, str]:
    """Every name in `__all__` of every module but the command line's, and the home of what it means."""
    paths = [f"{module.path}.{name}" for module in modules(package()) for name in module.exports or ()]
    errors = [f"slrprune.errors.{name}" for name in package()["errors"].classes]
    homes = {path: target(path) for path in [*paths, *errors]}
    return {path: f"{home.path}" for path, home in homes.items()}


def documented() -> list[str]:
    """The homes of what the reference pages show."""
    directives = [name for page in REFERENCE for name in re.findall(r"^::: (\S+)", page.read_text(), re.MULTILINE)]
    return [target(name).path for name in directives]


def test_every_public_name_has_its_place_in_the_reference() -> None:
    shown = set(documented())
    missing = {path for path, home in public().items() if home not in shown}
    assert not missing, f"give each a line '::: NAME' on a page of docs/reference: {sorted(missing)}"


def test_nothing_is_shown_twice() -> None:
    shown = documented()
    assert sorted(shown) == sorted(set(shown))


def test_every_public_name_has_a_docstring() -> None:
    homes = {home: target(home) for home in public().values()}
    assert [path for path, home in homes.items() if not home.docstring] == []
    members = {
        member.path: member
        for home in homes.values()
        if home.is_class
        for member in home.members.values()
        if not member.is_alias and member.is_function and not member.name.startswith("_")
    }
    assert len(members) > 100, "the walk has lost its way"
    assert [path for path, member in members.items() if not (member.docstring or _is_overload(member))] == []


def _is_overload(member: "griffe.Function") -> bool:
    return any("overload" in str(decorator.value) for decorator in member.decorators)


def test_every_package_with_public_names_says_so() -> None:
    """A package whose `__init__` imports names without `__all__` would slip through the tests above."""
    silent = []
    for path in sorted((REPOSITORY / "src" / "slrprune").rglob("__init__.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imports = any(
            isinstance(node, ast.ImportFrom) and str(node.module).startswith("slrprune.") for node in tree.body
        )
        named = any(isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__" for node in tree.body)
        if imports and not named and path.parent.name != "cli":
            silent.append(str(path))
    assert silent == []
