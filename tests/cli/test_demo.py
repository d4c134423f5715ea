"""`slrprune demo`, on its real data but for a moment only."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from slrprune.tasks import Digits

pytest.importorskip("sklearn", reason="the demo needs scikit-learn, of the extra demo")


@pytest.fixture(autouse=True)
def _short_dense_training(monkeypatch):
    monkeypatch.setattr(Digits, "dense_recipe", replace(Digits.dense_recipe, epochs=2))


def test_the_demo_compares_slr_with_its_rivals(slrprune):
    result = slrprune("demo", "--epochs", "3", "--seeds", "1", "--workers", "1")
    assert result.exit_code == 0
    for method in ("slr", "gradual_magnitude", "one_shot", "admm_ramp", "classic_slr_ramp"):
        assert method in result.stdout
    assert "every method prunes 95% of the weights in 57 steps" in result.stdout.replace("\n", " ")
    assert "20.0x" in result.stdout
    assert "slr is " in result.stdout
    tail = result.stdout.splitlines()[-4:]
    assert tail[0] == "Deployed, slr 95% seed 0:"
    assert "bytes (" in tail[1]
    assert "x smaller)" in tail[1]
    assert "x as fast)" in tail[2]
    assert "360 of 360 test images in the same class" in tail[3]
    (folder,) = Path("runs").iterdir()
    assert folder.name.startswith("demo-")
    assert f"Records: {folder}" in result.stdout
    records = [json.loads(path.read_text()) for path in folder.glob("*.json")]
    assert len(records) == 5
    assert {(record["steps"], record["sparsity"], record["epochs"]) for record in records} == {(57, 0.95, 3)}
    assert {record["dense_accuracy"] for record in records} == {records[0]["dense_accuracy"]}


def test_as_json_the_demo_holds_what_deployment_gives(slrprune):
    result = slrprune("demo", "--epochs", "3", "--seeds", "1", "--workers", "1", "--json")
    found = json.loads(result.stdout)["deployed"]
    assert found["dense_bytes"] > 8 * found["sparse_bytes"]
    assert found["relative_difference"] < 1e-4
    assert found["dense_us"] > 0
    assert found["accelerated_us"] > 0


def test_a_demo_too_short_for_the_schedules_says_so(slrprune):
    result = slrprune("demo", "--epochs", "1")
    assert result.exit_code == 1
    assert "total_steps is too short for the schedule" in result.stderr
    assert not Path("runs").exists()
