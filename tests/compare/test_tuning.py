"""Equal tuning: as many trials for every arm, on validation data, before the test split is looked at."""

from dataclasses import replace
from pathlib import Path

import pytest

from slrprune.compare import (
    MethodArm,
    Plan,
    RivalArm,
    Status,
    Target,
    Tuning,
    available,
    compare,
    find,
    load_records,
    tune,
    tuned,
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
    found = {"trials": 4, "epochs": 1, "seeds": [1000], "target": "75%", "accuracy": 62.5}
    assert record.tuning == found | {"task": "blobs", "model": "mlp"}


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
    with pytest.raises(ArgumentError) as error:
        tune(blobs(), [arm], Tuning(2, 4, TARGET), tmp_path / "out")
    assert str(error.value).startswith(
        f"Tuning(epochs=4): epochs is too few for the trial of late with {other.settings}: "
        "Pruner(total_steps=48): total_steps is too short for the schedule: "
    )
    assert str(error.value).endswith(". An epoch has 12 steps; on the command line it is --tune-epochs.")
    assert not (tmp_path / "out").exists()
    with pytest.raises(ArgumentError, match="trials must be at most 2, the settings that there are for late"):
        tune(blobs(), [arm], Tuning(3, 4, TARGET), tmp_path / "out")
    with pytest.raises(UsageError, match=r"the task 'blobs' has no 'val' split\. Hold some"):
        tune(blobs(has_val=False), [arm], Tuning(2, 4, TARGET), tmp_path / "out")
    with pytest.raises(ArgumentError, match="trials must be a whole number of at least 1"):
        Tuning(0, 4, TARGET)


def test_a_trial_that_no_length_would_help_is_refused_for_its_own_reason(blobs, tmp_path):
    wrong = RivalArm("wrong", "", _refusing, "a", alternatives=(RivalArm("wrong", "", _refusing, "b"),))
    with pytest.raises(UsageError, match=r"^wrong: it never fits\.$"):
        tune(blobs(), [wrong], Tuning(2, 1, TARGET), tmp_path)


def _refusing(model, optimizer, rules, total_steps):
    raise UsageError("wrong", "it never fits")


def test_what_won_is_taken_from_the_records_on_another_task_and_target(lopsided, blobs, tmp_path):
    arms = (rival(0, 1, 2), *find(["one_shot", "dense"]))
    chosen = tune(lopsided, arms, Tuning(3, 1, TARGET), tmp_path)
    assert tuned(arms, tmp_path) == chosen
    assert tuned(arms[:1], tmp_path) == chosen[:1]
    found = tuned(arms, tmp_path)[0].tuned
    assert (found, found.accuracy) == (chosen[0].tuned, 62.5)
    plan = Plan(tuned(arms, tmp_path), (Target.at(0.5),), 1, (0,))
    records = compare(blobs(noise=1.0, has_val=False), plan, tmp_path / "other")
    told = {record.method: (record.method_settings, record.tuning) for record in records}
    assert told["rival"][0] == "answers 2"
    assert (told["rival"][1]["target"], told["rival"][1]["task"]) == ("75%", "blobs")
    assert told["one_shot"][1] is told["dense"][1] is None


@pytest.fixture
def trials(record_of, tmp_path):
    """Saves trials of arms by their settings and accuracies, and returns the folder of the comparison."""

    def save(**arms):
        (tmp_path / "tuning").mkdir(exist_ok=True)
        for name, accuracies in arms.items():
            for settings, accuracy in accuracies.items():
                add(name.replace("__", "+"), settings, accuracy)
        return tmp_path

    def add(name, settings, accuracy, seed=1000, **fields):
        identity = "-".join(map(str, [name, settings, seed, *fields.values()]))
        ending = {"status": Status.DIVERGED} if accuracy is None else {}
        known = {"method_settings": settings, "val_accuracy_after_cut": accuracy, "identity": identity}
        record_of(name, seed, None, **known, **ending, **fields).save(tmp_path / "tuning" / f"{identity}.json")

    save.add = add
    return save


def knobs(name, *settings):
    """An arm with these settings."""
    first, *others = (RivalArm(name, "", _plain, own) for own in settings)
    return replace(first, alternatives=tuple(others))


def test_equal_ones_diverged_ones_and_several_seeds_are_judged_as_by_tune(trials):
    arms = [knobs("a", "z", "y", "x"), knobs("b", "z", "y", "x"), knobs("c", "z", "y", "x")]
    folder = trials(a={"x": 50.0, "y": 50.0, "z": 40.0}, b={"x": 1.0, "y": None, "z": None}, c=dict.fromkeys("xyz"))
    a, b, c = tuned(arms, folder)
    assert (a.settings, a.tuned.accuracy, a.tuned.trials, a.alternatives) == ("y", 50.0, 3, ())
    assert (b.settings, c) == ("x", arms[2])
    for settings, accuracy in {"x": 60.0, "y": 40.0, "z": 80.0}.items():
        trials.add("a", settings, accuracy, seed=1001)
    (a,) = tuned(arms[:1], folder)  # 55, 45, 60
    assert (a.settings, a.tuned.accuracy, a.tuned.seeds) == ("z", 60.0, (1000, 1001))


def test_trials_that_would_be_no_equal_tuning_are_refused(trials, tmp_path):
    arms = [knobs("a", "x", "y"), knobs("b", "x", "y")]
    with pytest.raises(
        ArgumentError, match=r"tuned\(folder='nowhere'\): folder must be a folder that exists\. Name the"
    ):
        tuned(arms, Path("nowhere"))
    with pytest.raises(ArgumentError, match=r"folder must have trials in its folder 'tuning'\. Name the folder of a"):
        tuned(arms, tmp_path)
    trials(a={"x": 1.0, "y": 2.0})
    with pytest.raises(
        ArgumentError, match=r"must have trials of b\. It has trials of a\. Tune b there as well, or leave"
    ):
        tuned(arms, tmp_path)
    trials(b={"x": 1.0})
    with pytest.raises(
        ArgumentError, match=r"must have as many trials of each method, and has 2 of a, 1 of b\. Call it"
    ):
        tuned(arms, tmp_path)
    trials.add("b", "y", 2.0, seed=1001)
    with pytest.raises(ArgumentError, match=r"must have every trial with the same seeds, and has 1000; 1001\. Finish"):
        tuned(arms, tmp_path)
    assert tuned(arms[:1], tmp_path)[0].settings == "y"  # b is not asked for


def test_trials_of_several_kinds_are_refused(trials, tmp_path):
    trials(a={"x": 1.0, "y": 2.0})
    trials.add("a", "x", 3.0, target="95%")
    message = (
        r"has those of digits, cnn, 90%, 2 epochs; digits, cnn, 95%, 2 epochs\. Every tuning needs a folder of its"
    )
    with pytest.raises(ArgumentError, match=message):
        tuned([knobs("a", "x", "y")], tmp_path)
    trials(b={"x": 1.0})
    trials.add("b", "y", 3.0, conditions="others")
    with pytest.raises(ArgumentError, match="of digits, cnn, 90%, 2 epochs, by several rules, recipes, data or dense"):
        tuned([knobs("b", "x", "y")], tmp_path)


def test_a_winner_that_the_arm_has_no_more_is_refused(trials):
    folder = trials(a={"x": 1.0, "y": 2.0}, b={"x": 2.0, "y": 2.0})
    message = r"tuned\(arms='a'\): arms must still have the setting that won its trials, y\. Tune again\."
    with pytest.raises(ArgumentError, match=message):
        tuned([knobs("a", "x", "z")], folder)
    assert tuned([knobs("b", "x", "z")], folder)[0].settings == "x"


def test_an_arm_with_extras_needs_trials_of_its_own(trials, tmp_path):
    (arm,) = find(["slr+distil"])
    (plain,) = find(["slr"])
    settings = [plain.settings, plain.alternatives[0].settings]
    trials(slr=dict.fromkeys(settings, 1.0))
    message = (
        r"of slr\+distil\. It has trials of slr\. Those of slr are of another arm\. Tune slr\+distil there as well"
    )
    with pytest.raises(ArgumentError, match=message):
        tuned([arm], tmp_path)
    trials(slr__distil=dict(zip([arm.settings, arm.alternatives[0].settings], (1.0, 2.0), strict=True)))
    chosen = tuned([plain, arm], tmp_path)
    assert [own.settings for own in chosen] == [plain.settings, arm.alternatives[0].settings]
    assert chosen[1].extras == arm.extras


def test_every_arm_of_ours_with_knobs_has_six_settings():
    tuned = [arm for arm in available() if arm.alternatives]
    assert len(tuned) >= 8
    for arm in tuned:
        settings = [arm.settings, *(other.settings for other in arm.alternatives)]
        assert len({*settings}) == len(settings) == 6
        assert {other.name for other in arm.alternatives} == {arm.name}
