"""Arms by name."""

import pytest

from slrprune import SLR, CubicRamp, Global, GradualMagnitude, Pruner
from slrprune.compare import MethodArm, RivalArm, Target, arms, available, find, register
from slrprune.errors import ArgumentError


@pytest.fixture(autouse=True)
def _unchanged_registry(monkeypatch):
    monkeypatch.setattr(arms, "_REGISTRY", dict(arms._REGISTRY))


def test_an_unknown_name_lists_what_there_is():
    sentence = r"compare\(method='classic_slr_rmap'\): method must be one of slr, dpf, .*dense\. The closest is 'class"
    with pytest.raises(ArgumentError, match=sentence):
        find(["slr", "classic_slr_rmap"])
    with pytest.raises(ArgumentError, match=r"one of slr, dpf, .*dense\.$"):
        find(["slr", "nope"])


def test_arms_come_in_the_order_asked_for_and_once():
    assert [arm.name for arm in find(["dense", "slr", "dense"])] == ["dense", "slr"]


def test_every_method_arm_can_be_built_and_says_its_settings(blobs):
    task = blobs()
    for arm in available():
        model = task.build_model()
        trainer = arm.trainer(model, task.pruning_recipe.optimizer(model), Global(0.5), 100)
        assert arm.settings
        assert arm.description
        if isinstance(arm, MethodArm):
            assert isinstance(trainer.pruner, Pruner)
            assert trainer.pruner.method == arm.method
            assert repr(arm.method) == arm.settings


def test_names_and_settings_are_unique():
    names, settings = [arm.name for arm in available()], [arm.settings for arm in available()]
    assert len({*names}) == len(names)
    assert len({*settings}) == len(settings)


def test_dpf_is_slr_with_the_unit_step():
    (dpf,) = find(["dpf"])
    assert dpf.method == SLR(sigma=1.0, trust=None, garrote=None, ramp=CubicRamp())


def test_a_registered_rival_is_found_last():
    rival = RivalArm("other", "from elsewhere", lambda *_: None, "other 1.0")
    register(rival)
    assert available()[-1] is rival
    assert find(["other"]) == (rival,)


def test_a_taken_or_odd_name_is_refused():
    with pytest.raises(ArgumentError, match=r"RivalArm\(name='slr'\): name is taken\. It is: SLR from the feasible"):
        register(RivalArm("slr", "an impostor", lambda *_: None, ""))
    with pytest.raises(ArgumentError, match=r"MethodArm\(name='My SLR'\): name must begin with a lower-case letter"):
        register(MethodArm("My SLR", "", SLR()))


def test_a_target_is_named_by_its_sparsity():
    assert Target.at(0.955).label == "95.5%"
    with pytest.raises(ArgumentError, match="label must consist of"):
        Target("a/b", Global(0.5))


def test_a_method_that_changed_under_the_same_settings_is_another_arm():
    class Changed(GradualMagnitude):
        revision = 2

    before, after = MethodArm("gm", "as it was", GradualMagnitude()), MethodArm("gm", "as it is", Changed())
    assert before.settings == repr(GradualMagnitude())
    assert after.settings == f"{Changed()!r}, revision 2"
