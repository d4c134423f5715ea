"""The command line starts without torch, and says which packages it lacks."""

import subprocess
import sys

import pytest

import slrprune
from slrprune import cli


def test_the_commands_are_listed_without_importing_torch() -> None:
    program = "import sys; import slrprune.cli.app; print('torch' in sys.modules, 'numpy' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False", "False"]


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
    with pytest.raises(SystemExit) as stop:
        cli.main()
    sentence = f"The command line needs {package}. Install it with: pip install 'slrprune[cli]'."
    assert stop.value.code == sentence
