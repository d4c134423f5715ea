"""A metric that is no number: null and a reason in the record, and never a lost run."""

import json
import math

import pytest
from torch import nn

from slrprune.compare import Status, Tuning, compare, load_records, tune
from slrprune.compare.keep import Keep, kept_models
from slrprune.compare.measure import Measure, metric_of
from slrprune.target import Target


@pytest.fixture
def unmeasurable(blobs):
    """Makes a task whose metric is `value` on some splits, for pruned and dense models alike or for one kind."""

    class Unmeasurable(blobs):
        def __init__(self, *splits, value=math.nan, dense=True, pruned=True):
            super().__init__()
            self.splits_without, self.value, self.kinds = splits, value, (dense, pruned)

        def evaluate(self, model, split):
            found = super().evaluate(model, split)
            is_pruned = bool((model[0].weight == 0).any())
            return self.value if split in self.splits_without and self.kinds[is_pruned] else found

    return Unmeasurable


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_run_whose_test_figure_is_no_number_leaves_a_record(unmeasurable, plan_of, tmp_path, counting, value):
    plan = plan_of("slr", "one_shot")
    task = unmeasurable("test", value=value)
    records = compare(task, plan, tmp_path)
    for record in records:
        assert (record.status, record.is_ok, record.is_diverged) == (Status.UNMEASURED, False, False)
        assert (record.test_accuracy_after_cut, record.dense_accuracy) == (None, None)
        assert record.val_accuracy_after_cut > 25
        assert record.sparsity_reached == 0.5
        assert record.reason == (
            f"The accuracy after the cut is {value} on the test split; the accuracy of the dense start is {value} on "
            "the test split: does that split hold nothing to measure, or is NaN what the model answers?"
        )
    assert sorted(map(str, load_records(tmp_path))) == sorted(map(str, records))
    observer = counting()
    assert compare(task, plan, tmp_path, observer=observer) == records
    assert observer.plan == (0, 2, 2)  # it would come out the same again


def test_a_dense_start_that_cannot_be_measured_costs_the_drop_only(unmeasurable, plan_of, tmp_path):
    (record,) = compare(unmeasurable("test", "val", pruned=False), plan_of("slr"), tmp_path)
    assert record.is_ok
    assert (record.dense_accuracy, record.dense_val_accuracy) == (None, None)
    assert record.test_accuracy_after_cut is not None
    assert "the accuracy of the dense start is nan on the val split" in record.reason


def test_a_curve_leaves_out_what_is_no_number(unmeasurable, plan_of, tmp_path):
    (record,) = compare(unmeasurable("val"), plan_of("slr"), tmp_path)
    assert record.is_ok  # the figure of the test split is there
    assert (record.curve, record.curve_split, record.val_accuracy_after_cut) == ((), None, None)
    assert record.reason.startswith("The accuracy after the cut on a copy is nan on the val split; ")
    assert "NaN" not in next(tmp_path.glob("*.json")).read_text().replace("is NaN what", "")


def test_an_unmeasured_model_is_kept_all_the_same(unmeasurable, plan_of, tmp_path):
    compare(unmeasurable("test"), plan_of("slr"), tmp_path, keep=Keep({}))
    assert len(kept_models(tmp_path)) == 1
    (tmp_path / "models").rename(tmp_path / "moved")
    compare(unmeasurable("test"), plan_of("slr"), tmp_path, keep=Keep({}))
    assert len(kept_models(tmp_path)) == 1  # a finished run is repeated where its model is wanted and missing


def test_a_trial_without_a_figure_loses_the_tuning(unmeasurable, plan_of, tmp_path):
    plan = plan_of("slr")
    (arm,) = tune(unmeasurable("val"), plan.arms, Tuning(2, 1, Target.at(0.5)), tmp_path)
    assert arm == plan.arms[0]
    assert {record.status for record in load_records(tmp_path / "tuning")} == {Status.UNMEASURED}


def test_a_metric_without_a_name_is_no_reason_to_lose_a_run():
    class Nameless:
        def evaluate(self, model, split):
            return math.nan

    measure = Measure(Nameless())
    assert measure.reason == ""
    assert measure.checked(None, "val", "of the dense start") is None
    assert measure.checked(0.0, "val", "of the dense start") == 0.0
    assert measure.reason == ""
    assert measure.evaluate(nn.Identity(), "test", "after the cut") is None
    assert measure.reason.startswith("The metric after the cut is nan on the test split: ")
    assert metric_of(Nameless()) == "metric"


def test_the_metric_and_what_the_task_left_out_are_in_the_record(blobs, plan_of, tmp_path):
    class Careless(blobs):
        metric = "mean IoU"

        def evaluate(self, model, split):
            self.seen = getattr(self, "seen", 0) + 1
            return super().evaluate(model, split)

        def warnings(self):
            return ("Skipped 2, since the image cannot be read: a.jpg, b.jpg.",) if getattr(self, "seen", 0) else ()

    (record,) = compare(Careless(), plan_of("slr"), tmp_path)
    assert record.metric == "mean IoU"
    assert record.warnings == ("Skipped 2, since the image cannot be read: a.jpg, b.jpg.",)


def test_records_from_before_these_fields_are_finished_runs(blobs, plan_of, tmp_path, counting):
    plan = plan_of("slr")
    compare(blobs(), plan, tmp_path)
    (path,) = tmp_path.glob("*.json")
    content = json.loads(path.read_text())
    del content["metric"], content["warnings"]
    path.write_text(json.dumps(content))
    observer = counting()
    compare(blobs(), plan, tmp_path, observer=observer)
    assert observer.plan == (0, 1, 1)
