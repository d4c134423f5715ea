"""A comparison from start to end: same start, same budget, resumed without repeating, undisturbed by a bad arm."""

from dataclasses import replace
from functools import partial

import blobs as blobs_module
import pytest
import torch

from slrprune import Global, Pruner
from slrprune.compare import Plan, RivalArm, Status, Target, compare, find, load_record, load_records
from slrprune.compare.start import DenseSource
from slrprune.errors import ArgumentError, DataError, NonFiniteError, StateError, UsageError
from slrprune.tasks import Digits
from slrprune.train import DenseTrainer, PruningTrainer, train

ALIKE = {"wall_time_s": 0.0, "machine": {}, "command": ""}


def results(records):
    """Records without what may differ between two runs of the same thing."""
    return [replace(record, **ALIKE) for record in records]


def test_a_comparison_leaves_one_record_per_run(blobs, plan_of, tmp_path):
    plan = plan_of("slr", "gradual_magnitude", "dense", sparsities=(0.5, 0.75), seeds=(0, 1))
    records = compare(blobs(), plan, tmp_path, command="the command")
    assert len(records) == len(list(tmp_path.glob("*.json"))) == 10
    assert [record.method for record in records[:3]] == ["dense", "slr", "gradual_magnitude"]
    assert sorted(records, key=lambda r: r.identity) == sorted(load_records(tmp_path), key=lambda r: r.identity)
    for record in records:
        assert record.is_ok
        assert record.steps == 48
        assert record.epochs == len(record.curve) == len(record.losses) == 4
        assert record.curve_split == "val"
        assert record.command == "the command"
        assert (
            record.dense_start == "trained by SGDRecipe(epochs=2, lr=0.1, weight_decay=0.0, warmup=0.0, momentum=0.9)"
        )
        assert record.task_settings["train"] == 96
        assert record.machine["torch"] == torch.__version__
    # 192 weights are pruned, and 84 others stay.
    assert [record.sparsity_reached for record in records[:5]] == [0.0, 0.5, 0.5, 0.75, 0.75]
    assert [record.compression for record in records[:5]] == [1.0, 2.0, 2.0, 4.0, 4.0]
    pruned = records[1]
    assert pruned.model_compression == pytest.approx((192 + 52) / (96 + 52), abs=0.02)
    assert pruned.curve[-1][1] == pruned.val_accuracy_after_cut


def test_the_record_is_what_the_loop_gives(blobs, plan_of, tmp_path):
    task = blobs()
    (record,) = compare(task, plan_of("slr", seeds=(5,)), tmp_path)
    model, start = DenseSource(task, tmp_path).load(5)
    assert task.evaluate(model, "test") == start.accuracy == record.dense_accuracy
    assert task.evaluate(model, "val") == record.dense_val_accuracy

    def factory(model, optimizer, steps):
        return PruningTrainer(optimizer, Pruner(model, optimizer, Global(0.5), total_steps=steps))

    train(model, task, task.pruning_recipe, seed=5, trainer=factory).trainer.finalize()
    assert task.evaluate(model, "test") == record.test_accuracy_after_cut


def test_all_arms_of_a_seed_start_alike_and_seeds_differ(blobs, plan_of, tmp_path):
    starts = {}

    class Spy(DenseTrainer):
        def __init__(self, model, optimizer, rules, total_steps):
            super().__init__(model, optimizer, total_steps)
            starts.setdefault(len(starts), model[0].weight.detach().clone())

    arms = tuple(RivalArm(name, "a spy", Spy, name) for name in ("one", "two"))
    compare(blobs(), Plan(arms, (Target.at(0.5),), 1, (0, 1)), tmp_path)
    *_, one, two, one_of_seed_1, two_of_seed_1 = starts.values()  # after those that the check of the plan built
    assert torch.equal(one, two)
    assert torch.equal(one_of_seed_1, two_of_seed_1)
    assert not torch.equal(one, one_of_seed_1)
    assert len(list((tmp_path / "dense").iterdir())) == 2


def test_an_interrupted_comparison_repeats_nothing(blobs, plan_of, tmp_path, counting):
    plan = plan_of("slr", "one_shot", seeds=(0, 1))
    first = compare(blobs(), plan, tmp_path)
    lost = next(path for path in tmp_path.glob("*one_shot*-s1-*.json"))
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file() and path != lost}
    lost.unlink()
    observer = counting()
    second = compare(blobs(), plan, tmp_path, observer=observer)
    assert observer.plan == (4, 4, 3)
    assert observer.ended == [("one_shot", "50%", 1)]
    assert results(second) == results(first)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_a_finished_comparison_trains_nothing(blobs, plan_of, tmp_path, counting):
    plan = plan_of("slr")
    first = compare(blobs(), plan, tmp_path)
    for path in (tmp_path / "dense").iterdir():
        path.unlink()  # the dense start is not needed for a look at the records either
    observer = counting()
    assert compare(blobs(), plan, tmp_path, observer=observer) == first
    assert observer.plan == (0, 1, 1)
    assert observer.epochs == observer.ended == []


def test_ctrl_c_leaves_the_finished_runs_to_the_next_call(blobs, plan_of, tmp_path, counting):
    class Impatient(counting):
        def run_ended(self, record):
            raise KeyboardInterrupt

    plan = plan_of("slr", "one_shot", "gradual_magnitude")
    with pytest.raises(KeyboardInterrupt):
        compare(blobs(), plan, tmp_path, observer=Impatient())
    assert len(load_records(tmp_path)) == 1
    observer = counting()
    compare(blobs(), plan, tmp_path, observer=observer)
    assert [method for method, _, _ in observer.ended] == ["one_shot", "gradual_magnitude"]


def test_a_changed_setting_is_a_new_run(blobs, plan_of, tmp_path, counting):
    compare(blobs(), plan_of("slr"), tmp_path)
    changed = blobs()
    changed.pruning_recipe = replace(changed.pruning_recipe, lr=0.02)
    for task, plan in (
        (changed, plan_of("slr")),
        (blobs(), plan_of("slr", epochs=5)),
        (blobs(noise=0.6), plan_of("slr")),
    ):
        observer = counting()
        compare(task, plan, tmp_path, observer=observer)
        assert len(observer.ended) == 1
    assert len(load_records(tmp_path)) == 4


def test_what_a_finished_run_does_not_tell_is_asked_of_a_new_one(blobs, plan_of, tmp_path, counting):
    plan = plan_of("slr")
    (trial,) = compare(blobs(), plan, tmp_path, tests=False)
    assert trial.test_accuracy_after_cut is None
    for curve_split in ("val", "test", "test"):
        observer = counting()
        (record,) = compare(blobs(), replace(plan, curve_split=curve_split), tmp_path, observer=observer)
        assert record.test_accuracy_after_cut is not None
        assert record.curve_split == curve_split
    assert observer.ended == []
    (alone,) = compare(blobs(), plan, tmp_path / "alone")
    assert results((alone,)) == results((replace(record, curve=trial.curve, curve_split="val"),))


def test_epochs_are_reported_with_the_curve(blobs, plan_of, tmp_path, counting):
    observer = counting()
    (record,) = compare(blobs(), plan_of("slr"), tmp_path, observer=observer)
    assert observer.plan == (2 + 4, 1, 0)
    assert observer.epochs[:2] == [("dense training seed 0", 1, None), ("dense training seed 0", 2, None)]
    assert observer.epochs[2:] == [("slr 50% seed 0", epoch, accuracy) for epoch, accuracy in record.curve]


class Diverging(DenseTrainer):
    """Spoils the weights in its third step, so that the fourth loss is NaN."""

    def __init__(self, model, optimizer, rules, total_steps):
        super().__init__(model, optimizer, total_steps)
        self.count = 0

    def step(self, loss, /):
        super().step(loss)
        self.count += 1
        if self.count == 15:
            with torch.no_grad():
                self.model[0].weight.fill_(float("nan"))


def test_a_diverged_arm_is_reported_and_does_not_stop_the_others(blobs, tmp_path, counting):
    wild = RivalArm("wild", "diverges", Diverging, "wild 1")
    plan = Plan((wild, *find(["one_shot"])), (Target.at(0.5),), 2, (0, 1))
    records = compare(blobs(), plan, tmp_path)
    assert [record.status for record in records] == [Status.DIVERGED, Status.OK] * 2
    assert records[0].test_accuracy_after_cut is None
    assert "train, step 16: the loss is not finite." in records[0].reason
    assert (records[0].steps, len(records[0].curve)) == (12, 1)
    observer = counting()
    assert compare(blobs(), plan, tmp_path, observer=observer) == records
    assert observer.plan == (0, 4, 4)


@pytest.mark.parametrize("place", ["weight", "bias"])
def test_a_run_that_diverges_in_its_last_step_has_diverged(blobs, tmp_path, place):
    """No next loss shows it, and a network of NaN still has an accuracy."""

    class Last(Diverging):
        def finalize(self):
            with torch.no_grad():
                getattr(self.model[0], place)[0] = float("inf")

    plan = Plan((RivalArm("last", "diverges", Last, "last 1"),), (Target.at(0.5),), 1, (0,))
    (record,) = compare(blobs(), plan, tmp_path)
    assert (record.status, record.test_accuracy_after_cut) == (Status.DIVERGED, None)
    assert record.reason == f"after the last step: 0.{place} is not finite."


def test_an_arm_that_fails_otherwise_stops_the_comparison(blobs, tmp_path):
    def broken(model, optimizer, rules, total_steps):
        trainer = DenseTrainer(model, optimizer, total_steps)
        trainer.finalize = lambda: 1 / 0
        return trainer

    plan = Plan((RivalArm("broken", "fails", broken, "1"),), (Target.at(0.5),), 1, (0,))
    with pytest.raises(ZeroDivisionError):
        compare(blobs(), plan, tmp_path)


def test_where_every_dense_training_diverges_there_is_nothing_to_compare(blobs, plan_of, tmp_path):
    task = blobs()
    task.dense_recipe = replace(task.dense_recipe, lr=1e30)
    with pytest.raises(NonFiniteError, match="dense training seed 0: train, step 2: the loss is not finite"):
        compare(task, plan_of("slr", seeds=(0, 1)), tmp_path)
    assert list((tmp_path / "dense").glob("*")) == list(tmp_path.glob("*.json")) == []


class Spoiled(blobs_module.Blobs):
    """One of its seeds has training data that are no numbers."""

    def batches(self, split, epoch=0, seed=0):
        for inputs, labels in super().batches(split, epoch, seed):
            yield (inputs * float("nan") if split == "train" and seed == 1 else inputs), labels


@pytest.mark.parametrize("workers", [1, 2])
def test_a_dense_training_that_diverges_takes_its_own_seed_only(plan_of, tmp_path, counting, workers):
    plan, observer = plan_of("slr", "one_shot", seeds=(0, 1, 2)), counting()
    records = compare(Spoiled(), plan, tmp_path, workers=workers, observer=observer)
    assert [record.status for record in records] == [Status.OK] * 2 + [Status.DIVERGED] * 2 + [Status.OK] * 2
    lost = records[2]
    assert lost.reason.startswith("dense training seed 1: train, step 1: the loss is not finite.")
    assert (lost.dense_accuracy, lost.dense_weights, lost.steps) == (None, "", 0)
    assert len(observer.ended) == 6
    again = counting()
    assert compare(Spoiled(), plan, tmp_path, observer=again) == records
    assert again.plan == (0, 6, 6)


def test_a_seed_that_is_added_later_and_diverges_is_reported_too(plan_of, tmp_path):
    (first,) = compare(Spoiled(), plan_of("slr"), tmp_path)
    records = compare(Spoiled(), plan_of("slr", seeds=(0, 1)), tmp_path)
    assert records[0] == first
    assert [record.status for record in records] == [Status.OK, Status.DIVERGED]


@pytest.mark.parametrize("told", [True, False])
def test_runs_that_started_from_other_dense_weights_are_not_gone_on_with(blobs, plan_of, tmp_path, told):
    """As where the records came from another machine, and the dense weights did not."""
    compare(blobs(), plan_of("slr"), tmp_path)
    (path,) = tmp_path.glob("*.json")
    record = load_record(path)
    other = {"dense_weights": "0" * 16} if told else {"dense_weights": "", "dense_accuracy": record.dense_accuracy - 1}
    replace(record, **other).save(path)
    assert compare(blobs(), plan_of("slr"), tmp_path)[0].method == "slr"  # nothing to pair it with
    with pytest.raises(StateError, match=r"the run of slr, seed 0, started from other dense weights than blobs-"):
        compare(blobs(), plan_of("slr", "one_shot"), tmp_path)
    assert list(tmp_path.glob("*.json")) == [path]
    replace(record, dense_weights="").save(path)
    assert len(compare(blobs(), plan_of("slr", "one_shot"), tmp_path)) == 2


def test_a_record_tells_the_weights_it_started_from(blobs, plan_of, tmp_path):
    first, second, other = compare(blobs(), plan_of("slr", "one_shot", seeds=(0, 1)), tmp_path)[:3]
    assert first.dense_weights == second.dense_weights != other.dense_weights
    assert len(first.dense_weights) == 16


def test_trained_weights_count_by_their_values_alone(blobs, tmp_path):
    """Their module's settings are those of the task's own model, which counts already."""
    weights = blobs().build_model().state_dict()
    task = blobs(weights=weights)
    marked = blobs(weights=weights)
    marked.pretrained = partial(_marked, marked.pretrained())
    assert DenseSource(task, tmp_path).origin == DenseSource(marked, tmp_path).origin


def _marked(model):
    model[0].note = "said by a later version of torch"
    return model


def test_records_of_another_version_are_refused_before_anything_runs(blobs, plan_of, tmp_path):
    (tmp_path / "old.json").write_text('{"version": 0}')
    with pytest.raises(StateError, match=r"old\.json: has version 0"):
        compare(blobs(), plan_of("slr"), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["old.json"]


def test_without_a_validation_split_there_is_no_curve_unless_asked(blobs, plan_of, tmp_path):
    task = blobs(has_val=False)
    (plain,) = compare(task, plan_of("slr"), tmp_path / "plain")
    assert (plain.curve, plain.curve_split, plain.val_accuracy_after_cut) == ((), None, None)
    (asked,) = compare(task, plan_of("slr", curve_split="test"), tmp_path / "asked")
    assert asked.curve_split == "test"
    assert asked.curve[-1] == (4, asked.test_accuracy_after_cut)
    assert asked.test_accuracy_after_cut == plain.test_accuracy_after_cut


def test_the_test_split_is_looked_at_once_per_run_and_once_per_start(blobs, plan_of, tmp_path, monkeypatch):
    looks = []
    evaluate = blobs.evaluate
    monkeypatch.setattr(
        blobs, "evaluate", lambda self, model, split: looks.append(split) or evaluate(self, model, split)
    )
    compare(blobs(), plan_of("slr", "one_shot"), tmp_path)
    assert looks.count("test") == 1 + 2


def test_pretrained_weights_are_the_start_of_every_seed(blobs, plan_of, tmp_path, counting):
    model = blobs().build_model()
    observer = counting()
    task = blobs(weights=model.state_dict())
    records = compare(task, plan_of("slr", seeds=(0, 1)), tmp_path, observer=observer)
    assert observer.plan == (8, 2, 0)
    assert [path.name.split("-")[2] for path in (tmp_path / "dense").iterdir()] == ["pretrained"]
    assert {record.dense_accuracy for record in records} == {task.evaluate(model, "test")}
    assert records[0].dense_start.startswith("pretrained, fingerprint ")
    loaded, _ = DenseSource(task, tmp_path).load(1)
    assert torch.equal(loaded[0].weight, model[0].weight)


def test_a_damaged_dense_start_is_refused(blobs, plan_of, tmp_path):
    compare(blobs(), plan_of("slr"), tmp_path)
    (weights,) = (tmp_path / "dense").iterdir()
    weights.write_bytes(b"\x00" * 100)
    with pytest.raises(DataError, match=r"holds no dense weights of this task\. Delete the file"):
        compare(blobs(), plan_of("one_shot"), tmp_path)


@pytest.mark.parametrize("workers", [0, -1, 1.5, True])
def test_a_number_of_workers_that_makes_no_sense_is_refused(workers, blobs, plan_of, tmp_path):
    with pytest.raises(ArgumentError, match="workers must be an integer of at least 1"):
        compare(blobs(), plan_of("slr"), tmp_path, workers=workers)


def short_digits():
    """A task that other processes can import: digits in a few steps."""
    task = Digits(batch_size=256)
    task.dense_recipe = replace(task.dense_recipe, epochs=1)
    return task


def test_results_do_not_depend_on_the_number_of_workers(tmp_path, counting):
    plan = Plan(find(["slr"]), (Target.at(0.9),), 1, (0, 1))
    alone, observer = compare(short_digits(), plan, tmp_path / "one"), counting()
    together = compare(short_digits(), plan, tmp_path / "two", workers=2, observer=observer)
    assert results(together) == results(alone)
    assert sorted(seed for _, _, seed in observer.ended) == [0, 1]
    assert observer.plan == (2 + 2, 2, 0)
    names = [sorted(path.name for path in (tmp_path / folder / "dense").iterdir()) for folder in ("one", "two")]
    assert names[0] == names[1]
    for name in names[0]:
        assert (tmp_path / "one/dense" / name).read_bytes() == (tmp_path / "two/dense" / name).read_bytes()


def test_what_cannot_be_sent_to_a_worker_is_named(tmp_path):
    arms = tuple(RivalArm(name, "", lambda m, o, r, n: DenseTrainer(m, o, n), name) for name in ("one", "two"))
    plan = Plan(arms, (Target.at(0.9),), 1, (0,))
    sentence = r"compare: one 90% seed 0 cannot be sent to a worker process \(.*\)\. Define functions and classes at"
    with pytest.raises(UsageError, match=sentence):
        compare(short_digits(), plan, tmp_path, workers=2)
    assert list(tmp_path.iterdir()) == []  # before the dense training, not after it
