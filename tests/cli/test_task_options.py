"""--option name=value, and the kinds of the built-in tasks' settings."""

from pathlib import Path

import pytest

from slrprune.cli.task_options import read_options
from slrprune.errors import ArgumentError
from slrprune.tasks.options import build_task


@pytest.mark.parametrize(
    ("written", "meant"),
    [("true", True), ("True", True), ("false", False), ("null", None), ("None", None), ("2.5", 2.5), ("[1]", [1])],
)
def test_values_are_read_as_in_yaml_and_in_python(written, meant):
    found = read_options([f"x={written}"], None, "compare")["x"]
    assert found == meant
    assert type(found) is type(meant)


def test_a_text_stays_one_and_a_path_becomes_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("here.pt").touch()
    assert read_options(["a=vgg16", "b=here.pt"], Path("d"), "compare") == {
        "data": Path("d"),
        "a": "vgg16",
        "b": Path("here.pt"),
    }


@pytest.mark.parametrize(
    ("option", "value", "rule"),
    [
        ("bf16", "yes", "must be true or false"),
        ("bf16", 1, "must be true or false"),
        ("batch_size", "64", "must be a whole number"),
        ("batch_size", True, "must be a whole number"),
    ],
)
def test_a_setting_of_another_kind_is_refused_before_anything_runs(option, value, rule):
    with pytest.raises(ArgumentError, match=rf"{option}={value!r}\): {option} {rule}"):
        build_task("digits", {option: value}, "compare")


def test_the_right_kinds_are_taken():
    assert build_task("digits", {"bf16": True, "batch_size": 32}, "compare").bf16 is True
