"""Equal tuning: as many trials for every arm, on validation data, before the test split is looked at."""

from dataclasses import replace

import pytest

from slrprune.compare import (
    MethodArm,
    Plan,
    RivalArm,
    Target,
    Tuning,
    available,
    compare,
    find,
    load_records,
    tune,
)
from slrprune.errors import ArgumentError, UsageError
from slrprune.methods import GradualMagnitude, OneShot
from slrprune.train import DenseTrainer

TARGET = Target.at(0.75)


class Answering(DenseTrainer):
    """Ends with a model that gives one answer to everything, so that its accuracy is known."""

    def __init__(self, model, optimizer, total_steps, answer):
        super().__init__(model, optimizer, total_steps)
        self.answer = answer

    def finalize(self):
        self.model[-1].weight.data.zero_()
        self.model[-1].bias.data.zero_()[self.answer] = 1.0


class Setting:
    """Makes such trainers."""

    def __init__(self, answer):
        self.answer = answer

    def __call__(self, model, optimizer, rules, total_steps):
        return Answering(model, optimizer, total_steps, self.answer)


def rival(*answers):
    arms = [RivalArm("rival", "knows one class", Setting(answer), f"answers {answer}") for answer in answers]
    return RivalArm("rival", "knows one class", Setting(answers[0]), arms[0].settings, alternatives=tuple(arms[1:]))


@pytest.fixture
def lopsided(blobs):
    """Blobs whose validation split is half of class 2 and whose test split is mostly of class 1."""
    task = blobs()
    val, test = task.splits["val"], task.splits["test"]
    val.targets[:16] = 2
    test.targets[:30] = 1
    return task


def test_the_best_on_validation_data_wins_whatever_the_test_says(lopsided, tmp_path):
    (chosen,) = tune(lopsided, [rival(0, 1, 2, 3)], Tuning(4, 1, TARGET), tmp_path)
    assert chosen.settings == "answers 2"
    assert (chosen.tuned.trials, chosen.tuned.epochs, chosen.tuned.target) == (4, 1, "75%")
    (record,) = compare(lopsided, Plan((chosen,), (TARGET,), 1, (0,)), tmp_path)
    assert record.tuning == {"trials": 4, "epochs": 1, "seeds": [1000], "target": "75%", "accuracy": 62.5}


def test_a_run_made_before_the_tuning_is_told_of_it(lopsided, tmp_path):
    """The setting that an arm came with often wins, and its run may be there already."""
    plan = Plan((rival(0, 1),), (TARGET,), 1, (0,))
    (before,) = compare(lopsided, plan, tmp_path)
    assert before.tuning is None
    (chosen,) = tune(lopsided, plan.arms, Tuning(2, 1, TARGET), tmp_path)
    (record,) = compare(lopsided, Plan((chosen,), (TARGET,), 1, (0,)), tmp_path)
    assert record.tuning["trials"] == 2
    assert replace(record, tuning=None) == before
    assert load_records(tmp_path) == (record,)
    assert compare(lopsided, plan, tmp_path) == (record,)


def test_a_run_is_told_of_the_tuning_that_chose_it_last(lopsided, tmp_path):
    for trials in (2, 3, 3):
        (chosen,) = tune(lopsided, [rival(0, 1, 3)], Tuning(trials, 1, TARGET), tmp_path)
        compare(lopsided, Plan((chosen,), (TARGET,), 1, (0,)), tmp_path)
        (file,) = tmp_path.glob("*.json")
        assert load_records(tmp_path)[0].tuning["trials"] == trials
        changed, before = file.stat().st_mtime_ns, locals().get("changed")
    assert changed == before  # told once is enough


def test_only_so_many_are_tried_and_equal_ones_change_nothing(lopsided, tmp_path):
    (chosen,) = tune(lopsided, [rival(0, 1, 2)], Tuning(2, 1, TARGET), tmp_path)
    assert chosen.settings == "answers 0"  # 1 is as good, and 2 was not tried
    assert len(load_records(tmp_path / "tuning")) == 2


def test_the_test_split_is_left_alone(blobs, tmp_path, monkeypatch):
    looks = []
    evaluate = blobs.evaluate
    monkeypatch.setattr(
        blobs, "evaluate", lambda self, model, split: looks.append(split) or evaluate(self, model, split)
    )
    tune(blobs(), find(["gradual_magnitude"]), Tuning(3, 4, TARGET), tmp_path)
    assert looks.count("test") == 1  # the dense start
    assert [record.test_accuracy_after_cut for record in load_records(tmp_path / "tuning")] == [None] * 3
    assert {record.seed for record in load_records(tmp_path / "tuning")} == {1000}


def test_an_arm_without_knobs_stays_as_it_is(blobs, tmp_path):
    arms = find(["one_shot", "dense"])
    assert tune(blobs(), arms, Tuning(3, 1, TARGET), tmp_path) == arms
    assert not (tmp_path / "tuning").exists()


def test_a_setting_that_diverges_loses(blobs, tmp_path):
    wild = RivalArm("wild", "", _diverging, "diverges", alternatives=(RivalArm("wild", "", _plain, "does not"),))
    (chosen,) = tune(blobs(), [wild], Tuning(2, 1, TARGET), tmp_path)
    assert chosen.settings == "does not"
    hopeless = RivalArm("bad", "", _diverging, "diverges", alternatives=(RivalArm("bad", "", _diverging, "too"),))
    assert tune(blobs(), [hopeless], Tuning(2, 1, TARGET), tmp_path) == (hopeless,)


def _plain(model, optimizer, rules, total_steps):
    return DenseTrainer(model, optimizer, total_steps)


def _diverging(model, optimizer, rules, total_steps):
    model[0].weight.data.fill_(float("nan"))
    return DenseTrainer(model, optimizer, total_steps)


def test_a_stopped_tuning_repeats_nothing(blobs, tmp_path, counting):
    arms = find(["gradual_magnitude"])
    first = tune(blobs(), arms, Tuning(2, 4, TARGET), tmp_path)
    observer = counting()
    assert tune(blobs(), arms, Tuning(2, 4, TARGET), tmp_path, observer=observer) == first
    assert observer.ended == []


def test_what_cannot_be_run_is_refused_before_the_first_trial(blobs, tmp_path):
    other = MethodArm("late", "", GradualMagnitude(interval=50))
    arm = MethodArm("late", "", OneShot(), alternatives=(other,))
    with pytest.raises(ArgumentError, match="total_steps is too short for the schedule"):
        tune(blobs(), [arm], Tuning(2, 4, TARGET), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(ArgumentError, match="trials must be at most 2, the settings that there are for late"):
        tune(blobs(), [arm], Tuning(3, 4, TARGET), tmp_path / "out")
    with pytest.raises(UsageError, match=r"the task 'blobs' has no 'val' split\. Hold some"):
        tune(blobs(has_val=False), [arm], Tuning(2, 4, TARGET), tmp_path / "out")
    with pytest.raises(ArgumentError, match="trials must be a whole number of at least 1"):
        Tuning(0, 4, TARGET)


def test_every_arm_of_ours_with_knobs_has_six_settings():
    tuned = [arm for arm in available() if arm.alternatives]
    assert len(tuned) >= 8
    for arm in tuned:
        settings = [arm.settings, *(other.settings for other in arm.alternatives)]
        assert len({*settings}) == len(settings) == 6
        assert {other.name for other in arm.alternatives} == {arm.name}
