"""Extra work, what it costs, and that it is really done."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from slrprune.compare import Extras, MethodArm, Plan, Target, compare, find
from slrprune.compare.extras import NAMED
from slrprune.compare.start import DenseSource
from slrprune.errors import ArgumentError, UsageError
from slrprune.methods import OneShot
from slrprune.train import Distillation


def test_prices_by_hand():
    assert Extras().steps(48) == 48
    assert Extras(distil=Distillation()).steps(48) == 36  # 36 steps of 4/3
    assert Extras(reestimate=7).steps(48) == 45  # 45 2/3, rounded down
    assert Extras(distil=Distillation(), reestimate=6).steps(48) == 34  # 46 / (4/3) = 34.5
    assert Extras(retrain=0.5).steps(48) == 48


def test_a_budget_that_does_not_pay_is_refused():
    with pytest.raises(UsageError, match=r"a budget of 10 steps does not pay for Extras\(.*reestimate=30.*\) and a"):
        Extras(reestimate=30).steps(10)


@pytest.mark.parametrize("wrong", [{"reestimate": -1}, {"reestimate": 1.5}, {"retrain": 1.0}, {"retrain": -0.1}])
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(ArgumentError, match=f"{next(iter(wrong))} must be"):
        Extras(**wrong)


def test_names_with_extras(blobs):
    (arm,) = find(["slr+retrain+distil"])
    assert arm.name == "slr+distil+retrain"  # one name whatever the order
    assert arm.extras == Extras(distil=NAMED["distil"][1].distil, retrain=0.25)
    assert arm.settings == f"{find(['slr'])[0].settings}, {arm.extras!r}"
    assert "distilled from the dense net" in arm.description
    assert {other.name for other in arm.alternatives} == {arm.name}
    assert {other.extras for other in arm.alternatives} == {arm.extras}
    with pytest.raises(ArgumentError, match=r"extra='bm'\): extra must be one of distil, bn, retrain\."):
        find(["slr+bm"])
    with pytest.raises(ArgumentError, match=r"dense\+retrain'\): method must prune before it can be retrained"):
        find(["dense+retrain"])


def test_every_arm_pays_out_of_the_same_budget(blobs, tmp_path):
    arms = find(["slr", "slr+distil", "one_shot+bn", "gradual_magnitude+retrain", "dense+distil"])
    arms = tuple(replace(arm, extras=replace(arm.extras, reestimate=6 if arm.extras.reestimate else 0)) for arm in arms)
    records = {r.method: r for r in compare(blobs(), Plan(arms, (Target.at(0.5),), 4, (0,)), tmp_path)}
    assert {name: record.steps for name, record in records.items()} == {
        "slr": 48,
        "slr+distil": 36,
        "one_shot+bn": 46,
        "gradual_magnitude+retrain": 48,
        "dense+distil": 36,
    }
    assert len(records["slr+distil"].curve) == 3
    assert {record.sparsity_reached for name, record in records.items() if name != "dense+distil"} == {0.5}
    assert len({record.identity for record in records.values()}) == 5
    assert records["slr+distil"].losses != records["slr"].losses[:3]


def test_the_bar_gets_as_many_epochs_as_are_told(blobs, tmp_path, counting):
    observer = counting()
    compare(blobs(), Plan(find(["slr+distil"]), (Target.at(0.5),), 4, (0,)), tmp_path, observer=observer)
    assert observer.plan == (2 + 3, 1, 0)
    assert len(observer.epochs) == 5


def test_reestimation_changes_the_statistics_and_nothing_else(blobs):
    task = blobs()
    model = task.build_model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    Extras(reestimate=15).finish_(model, task, 4, 0)  # more batches than an epoch has
    changed = [name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])]
    assert changed == ["1.running_mean", "1.running_var", "1.num_batches_tracked"]
    assert int(model[1].num_batches_tracked) == 15
    inputs = torch.cat([batch[0] for epoch in (4, 5) for batch in task.batches("train", epoch, 0)][:15])
    means = torch.stack([model[0](part).mean(0) for part in inputs.split(8)])
    torch.testing.assert_close(model[1].running_mean, means.mean(0))


def test_nobody_pays_for_the_statistics_of_a_net_that_has_none(blobs, tmp_path):
    class Plain(blobs):
        def build_model(self):
            return nn.Linear(8, 4)

    arm = MethodArm("one_shot", "", OneShot(), extras=Extras(reestimate=3))
    with pytest.raises(UsageError, match="Linear has no BatchNorm layer to re-estimate"):
        compare(Plain(), Plan((arm,), (Target.at(0.5),), 4, (0,)), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_net_that_cannot_be_distilled_is_refused_before_anything_runs(blobs, tmp_path):
    class Named(nn.Sequential):
        def forward(self, inputs):
            return {"logits": super().forward(inputs)}

    class Speaking(blobs):
        def build_model(self):
            return Named(*super().build_model())

        def loss(self, model, batch):
            return nn.functional.cross_entropy(model(batch[0])["logits"], batch[1])

    plan = Plan(find(["slr", "slr+distil"]), (Target.at(0.5),), 4, (0,))
    with pytest.raises(UsageError, match=r"get one tensor of logits, got \['dict'\]"):
        compare(Speaking(), plan, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_run_that_the_price_makes_too_short_is_refused_before_anything_runs(blobs, tmp_path):
    # 24 steps would do for ADMM's ramp: its first half holds one interval of 10; 18 would not.
    arm = replace(find(["admm_ramp+distil"])[0], method=replace(find(["admm_ramp"])[0].method, interval=10))
    plain = replace(arm, extras=Extras())
    compare(blobs(), Plan((plain,), (Target.at(0.5),), 2, (0,)), tmp_path / "plain")
    with pytest.raises(ArgumentError, match=r"total_steps=18\): total_steps is too short for the schedule"):
        compare(blobs(), Plan((arm,), (Target.at(0.5),), 2, (0,)), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_teacher_is_the_dense_start(blobs, tmp_path, monkeypatch):
    teachers = []

    class Spy:
        def __init__(self, model, settings):
            teachers.append((model[0].weight.detach().clone(), settings))

        def loss(self, task, model, batch):
            return task.loss(model, batch)

    monkeypatch.setattr("slrprune.compare.run.Teacher", Spy)
    task = blobs()
    compare(task, Plan(find(["slr+distil"]), (Target.at(0.5),), 4, (0,)), tmp_path)
    dense, _ = DenseSource(task, tmp_path).load(0)
    ((weight, settings),) = teachers
    assert torch.equal(weight, dense[0].weight)
    assert settings == Distillation()
