"""Which runs there are, and which plans are refused before anything runs."""

import pytest

from slrprune.compare import Plan, Target, compare, find
from slrprune.errors import ArgumentError, RuleError, UsageError


def test_runs_go_seed_by_seed_and_the_dense_arm_once_per_seed(plan_of):
    plan = plan_of("slr", "dense", "one_shot", sparsities=(0.5, 0.75), seeds=(3, 1))
    assert [run.label for run in plan.runs()] == [
        "dense seed 3",
        "slr 50% seed 3",
        "one_shot 50% seed 3",
        "slr 75% seed 3",
        "one_shot 75% seed 3",
        "dense seed 1",
        "slr 50% seed 1",
        "one_shot 50% seed 1",
        "slr 75% seed 1",
        "one_shot 75% seed 1",
    ]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"arms": ()}, "arms must hold at least one"),
        ({"targets": ()}, "targets must hold at least one"),
        ({"epochs": 0}, r"Plan\(epochs=0\): epochs must be at least 1"),
        ({"seeds": ()}, "seeds must hold at least one, each at least 0"),
        ({"seeds": (0, -1)}, "seeds must hold at least one, each at least 0"),
        ({"seeds": (1, 1)}, r"seeds=\[1, 1\]\): seeds must differ from each other"),
        ({"targets": (Target.at(0.5), Target.at(0.5))}, "targets must differ from each other"),
        ({"arms": find(["slr"]) * 2}, "arms must differ from each other"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(change, sentence):
    sound = {"arms": find(["slr"]), "targets": (Target.at(0.5),), "epochs": 1, "seeds": (0,)}
    with pytest.raises(ArgumentError, match=sentence):
        Plan(**sound | change)


def test_a_dense_arm_alone_needs_no_target(plan_of):
    assert [run.label for run in plan_of("dense", sparsities=()).runs()] == ["dense seed 0"]


def test_a_budget_too_short_for_the_schedule_is_refused_before_anything_runs(blobs, plan_of, tmp_path):
    plan = plan_of("slr", "admm_ramp", epochs=1)
    sentence = r"total_steps=12\): total_steps is too short for the schedule: ADMM ramps up until 50% of the run\. Plan"
    with pytest.raises(ArgumentError, match=sentence):
        compare(blobs(), plan, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_budget_without_an_update_that_could_act_is_refused_too(blobs, plan_of, tmp_path):
    """ClassicSLR has no ramp of the sparsity, so that the pruner itself takes any length."""
    sentence = (
        r"compare\(steps=36\): steps is too short: classic_slr_ramp updates at every 20th step\. Plan at least 40"
    )
    with pytest.raises(ArgumentError, match=sentence):
        compare(blobs(), plan_of("classic_slr_ramp", epochs=3), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_rules_that_fit_nothing_are_refused_before_anything_runs(blobs, tmp_path):
    plan = Plan(find(["slr"]), (Target("odd", {"body": Target.at(0.5).rules}),), 4, (0,))
    with pytest.raises(RuleError, match="rule 'body': matches no parameter"):
        compare(blobs(), plan, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_curve_on_a_split_that_is_not_there_is_refused_before_anything_runs(blobs, plan_of, tmp_path):
    with pytest.raises(UsageError, match="blobs: there is no 'val' split"):
        compare(blobs(has_val=False), plan_of("slr", curve_split="val"), tmp_path / "out")
    assert not (tmp_path / "out").exists()
