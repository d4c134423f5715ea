"""The set, the method and the task that the pages show keep the contracts of the library's own.

The tests of tests/contracts are plain functions of a case, or of a method: here they are called with ours.
"""

import importlib.util
import itertools
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

TESTS = Path(__file__).resolve().parents[1]


def contract(name: str) -> ModuleType:
    """A file of tests/contracts as a module."""
    name_here = f"contract_of_{name}"
    spec = importlib.util.spec_from_file_location(name_here, TESTS / "contracts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name_here] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def promises(module: ModuleType, subject: str) -> list[Any]:
    """The tests of a contract that have `subject` ("case" or "method") as their parameter."""
    marked = [test for name, test in vars(module).items() if name.startswith("test_") and "pytestmark" in vars(test)]
    return [test for test in marked if any(subject in _names(mark) for mark in test.pytestmark)]


def settings(test: Any, subject: str) -> Iterator[dict[str, Any]]:
    """What the test's other parameters go through; those that need a GPU are left to the contract itself."""
    marks = [mark for mark in test.pytestmark if mark.name == "parametrize" and subject not in _names(mark)]
    for values in itertools.product(*([v for v in mark.args[1] if not hasattr(v, "marks")] for mark in marks)):
        found: dict[str, Any] = {}
        for mark, value in zip(marks, values, strict=True):
            names = _names(mark)
            found.update(zip(names, value if len(names) > 1 else [value], strict=True))
        yield found


def _names(mark: pytest.Mark) -> list[str]:
    if mark.name != "parametrize":
        return []
    names = mark.args[0]
    return [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)


SETS = contract("test_set_contract")
METHODS = [contract("test_method_contract"), contract("test_method_state")]


@pytest.fixture(scope="module")
def case() -> Any:
    """A row for the table of sets: the set of the example, and its membership written down a second time in numpy."""
    kernels = runpy.run_path(str(TESTS.parent / "examples" / "own_set.py"), run_name="own_set")["Kernels"]
    sys.modules["own_set"] = sys.modules[__name__]  # pickle looks the class up there
    globals()["Kernels"] = kernels
    allowed = SETS.at_most(0.6, lambda supports: supports.any((3, 4)))
    return SETS.Case("kernels", kernels(0.6), ((2, 3, 2, 1),), allowed, lambda a, b, c: (a, b, c, 2))


@pytest.mark.parametrize("test", promises(SETS, "case"), ids=lambda test: test.__name__)
def test_own_set(test: Any, case: Any) -> None:
    for others in settings(test, "case"):
        test(case=case, **others)


@pytest.fixture(scope="module")
def method() -> Any:
    """The method of the example."""
    return runpy.run_path(str(TESTS.parent / "examples" / "own_method.py"), run_name="own_method")["HardThresholding"]()


EVERY_METHOD = [test for module in METHODS for test in promises(module, "method")]


@pytest.mark.parametrize("test", EVERY_METHOD, ids=lambda test: test.__name__)
def test_own_method(test: Any, method: Any) -> None:
    for others in settings(test, "method"):
        test(method=method, **others)


def test_the_contracts_were_found() -> None:
    assert len(promises(SETS, "case")) >= 14
    assert len(EVERY_METHOD) >= 12
