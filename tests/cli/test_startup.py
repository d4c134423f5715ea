"""The command line starts without torch, and says which packages it lacks."""

import importlib.metadata
import subprocess
import sys

import pytest

import slrprune
from slrprune import cli

HEAVY = ["torch", "numpy", "scipy", "sklearn", "transformers", "rich"]
PARSING = ["pydantic", "importlib.metadata"]  # typer imports them where it has options to read


@pytest.mark.parametrize(
    ("arguments", "heavy"), [([], HEAVY + PARSING), (["--help"], HEAVY + PARSING), (["compare", "--help"], HEAVY)]
)
def test_help_comes_without_any_heavy_import(arguments: list[str], heavy: list[str]) -> None:
    program = (
        "import sys; from slrprune.cli import main\n"
        f"sys.argv = ['slrprune', *{arguments}]\n"
        "try: main()\n"
        f"except SystemExit: print([name for name in {heavy} if name in sys.modules], file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stderr.strip() == "[]"
    assert "slrprune" in result.stdout


def test_the_module_is_the_command() -> None:
    command = [sys.executable, "-m", "slrprune"]
    version = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
    assert version.stdout.strip() == slrprune.__version__
    wrong = subprocess.run([*command, "pruen"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert "Usage: python -m slrprune" in wrong.stderr
    hidden = "import runpy, sys; sys.modules['typer'] = None; runpy.run_module('slrprune', run_name='__main__')"
    lacking = subprocess.run([sys.executable, "-c", hidden], capture_output=True, text=True, check=False)
    assert lacking.returncode == 1
    assert lacking.stderr.strip().endswith("needs typer. Install it with: pip install 'slrprune[cli]'.")


def test_dir_shows_every_public_name() -> None:
    assert {*slrprune.__all__, "__version__"} <= set(dir(slrprune))
    assert slrprune.__version__ == importlib.metadata.version("slrprune")


def test_every_public_name_is_found_where_type_checkers_see_it() -> None:
    assert sorted(slrprune._HOME) == sorted(slrprune.__all__)
    for name in slrprune.__all__:
        value = getattr(slrprune, name)
        assert value.__name__ == name
        assert value.__module__.startswith(slrprune._HOME[name])


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'slrprune' has no attribute 'Prunner'"):
        _ = slrprune.Prunner


@pytest.mark.parametrize("package", ["typer", "rich"])
def test_a_missing_package_of_the_extra_is_named(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = [name for name in sys.modules if name.split(".")[0] in ("typer", "rich")]
    for name in [*loaded, *(name for name in sys.modules if name.startswith("slrprune.cli."))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr(sys, "argv", ["slrprune", "tasks"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    sentence = f"The command line needs {package}. Install it with: pip install 'slrprune[cli]'."
    assert stop.value.code == sentence
