"""Several runs on one page: grouping, means over seeds, what is left out."""

import json
from dataclasses import replace
from statistics import fmean, stdev

import pytest

from slrprune.compare.record import RunRecord, Status
from slrprune.errors import DataError, StateError
from slrprune.report import write_report

RECORD = RunRecord(
    task="digits",
    model="digits_cnn",
    method="slr",
    method_settings="SLR(interval=1)",
    target="95%",
    rules="Global(sparsity=0.95)",
    sparsity=0.95,
    epochs=4,
    seed=0,
    recipe="",
    conditions="",
    identity="",
    dense_accuracy=99.0,
    dense_val_accuracy=98.0,
    test_accuracy_after_cut=98.5,
    sparsity_reached=0.95,
    compression=20.0,
    model_compression=18.0,
    curve=((1, 50.0), (2, 97.2), (3, 96.5), (4, 97.6)),
    curve_split="val",
    wall_time_s=5.0,
)


@pytest.fixture
def save(tmp_path):
    """Saves changed copies of the record into one folder."""

    def write(*changes):
        for position, change in enumerate(changes):
            (tmp_path / "records").mkdir(exist_ok=True)
            replace(RECORD, **change).save(tmp_path / "records" / f"{position}.json")
        return tmp_path / "records"

    return write


def test_runs_that_were_asked_something_else_are_no_further_seeds(save, make_page):
    one, other = {"rules": "Unstructured(sparsity=0.5)"}, {"rules": "Channel(sparsity=0.5, scope='outputs')"}
    page = make_page(
        save(
            one | {"test_accuracy_after_cut": 80.0},
            one | {"test_accuracy_after_cut": 82.0, "seed": 1},
            other | {"test_accuracy_after_cut": 70.0, "seed": 1},
            one | {"target": "dense", "rules": "", "method": "dense", "method_settings": "dense"},
        )
    )
    assert "81.00 ± 1.41" in page.text
    assert "digits, digits_cnn, Unstructured(sparsity)" in page.text
    assert "digits, digits_cnn, Channel(sparsity, scope=&#39;outputs&#39;)" in page.text
    assert page.text.count("98.50") == 2  # the dense reference is in both


def test_a_folder_joins_the_records_of_the_same_rules(save, make_run, make_page):
    """It tells neither recipe nor settings of the task; other rules keep it apart."""
    records = save({"model": "cnn", "recipe": "SGDRecipe(epochs=4, lr=0.1)", "task_settings": {"bf16": False}})
    for rules, count in (("Global(sparsity=0.9)", 1), ("Channel(sparsity=0.9)", 2)):
        run = make_run(f"with {count}", sparsity=0.9)
        summary = json.loads((run / "summary.json").read_text()) | {"task": "digits", "model": "cnn", "rules": rules}
        (run / "summary.json").write_text(json.dumps(summary))
        page = make_page(run, records)
        assert sum(name.endswith("-frontier") for name in page.data["charts"]) == count


def test_seeds_are_one_point_with_error_bars(make_run, make_page):
    runs = [make_run(f"{level}-{seed}", sparsity=level, seed=seed) for level in (0.9, 0.95) for seed in (0, 1, 2)]
    page = make_page(*runs)
    found = [json.loads((run / "summary.json").read_text())["accuracy_after_cut"] for run in runs]
    (series,) = page.data["charts"]["contest-0-frontier"]["series"]
    assert series["name"] == "SLR"
    assert series["y"] == [pytest.approx(fmean(found[:3]), rel=1e-4), pytest.approx(fmean(found[3:]), rel=1e-4)]
    assert series["spread"] == [pytest.approx(stdev(found[:3]), rel=1e-4), pytest.approx(stdev(found[3:]), rel=1e-4)]
    assert page.data["charts"]["contest-0-size"]["xTitle"] == "sparse file, kB"
    assert page.data["charts"]["contest-0-latency"]["series"][0]["x"] == [0.537, 0.52]
    assert page.html.count('class="run"') == 6
    assert page.html.count('<option value="run-') == 6


def test_settings_tell_two_arms_of_one_name_apart(make_run, make_page):
    methods = ("SLR(interval=1, sigma=0.3)", "SLR(interval=1, sigma=0.5)")
    page = make_page(
        *[
            make_run(str(i), method=method, sparsity=level)
            for i, (method, level) in enumerate(zip(methods, (0.9, 0.95), strict=True))
        ]
    )
    names = [series["name"] for series in page.data["charts"]["contest-0-frontier"]["series"]]
    assert names == ["SLR (sigma=0.3)", "SLR (sigma=0.5)"]


def test_records_of_a_comparison_are_enough(save, make_page):
    other = {"method": "one_shot", "method_settings": "OneShot()", "test_accuracy_after_cut": 97.0}
    page = make_page(save({}, {"seed": 1, "test_accuracy_after_cut": 98.7}, other))
    frontier = page.data["charts"]["contest-0-frontier"]
    assert frontier["dots"]  # one sparsity: a line for each method
    assert [series["name"] for series in frontier["series"]] == ["slr", "one_shot"]
    assert "slr 95.0 % 2 98.60 ± 0.14 % −0.40 points 20.0x" in page.text  # noqa: RUF001
    assert "The latency was not measured in any of these runs." in page.text
    assert "All are of one size: the whole model has 18.0x as many parameters as non-zeros." in page.text


def test_the_epochs_to_accuracy_count_from_when_it_stays(save, make_page):
    page = make_page(save({}, {"seed": 1}))
    assert "slr epoch 2 epoch 2 epoch 4 epoch 4 97.60 %" in page.text  # within 5, 2, 1 and 0.5 points of 98.0 on val
    assert page.data["charts"]["contest-0-epochs-0"]["levels"] == [[98.0, "dense 98.00\u00a0%"]]


def test_a_diverged_seed_is_named_and_has_no_point(save, make_page):
    gone = {
        "seed": 1,
        "status": Status.DIVERGED,
        "reason": "the loss was NaN",
        "test_accuracy_after_cut": None,
        "curve": (),
    }
    page = make_page(save({}, gone))
    assert "slr at 95 %, seed 1 diverged (the loss was NaN); it has no point in the charts." in page.text
    assert "slr 95.0 % 2, 1 diverged 98.50 %" in page.text


def test_an_unmeasured_run_is_named_and_has_no_point(save, make_page):
    gone = {"seed": 1, "status": Status.UNMEASURED, "reason": "The mAP is nan.", "test_accuracy_after_cut": None}
    page = make_page(save({}, gone))
    assert "slr at 95 %, seed 1 is unmeasured (The mAP is nan.); it has no point in the charts." in page.text
    assert "slr 95.0 % 2, 1 unmeasured 98.50 %" in page.text


def test_a_record_tells_its_metric(save, make_page):
    page = make_page(save({"metric": "mean IoU"}, {"seed": 1, "metric": "mean IoU"}))
    assert page.data["charts"]["contest-0-epochs-0"]["yTitle"] == "mean IoU, %"
    page = make_page(
        save({"task_settings": {"metric": "mAP@0.5"}}, {"seed": 1, "task_settings": {"metric": "mAP@0.5"}})
    )
    assert page.data["charts"]["contest-0-epochs-0"]["yTitle"] == "mAP@0.5, %"
    page = make_page(save({}, {"seed": 1, "metric": "mean IoU"}))  # the first is older and does not tell it
    assert page.data["charts"]["contest-0-epochs-0"]["yTitle"] == "mean IoU, %"


def test_tasks_are_never_mixed(save, make_page):
    page = make_page(save({}, {"task": "cifar10", "model": "resnet20"}))
    assert [page.data["charts"][f"contest-{i}-frontier"]["series"][0]["y"] for i in (0, 1)] == [[98.5], [98.5]]
    assert "digits, digits_cnn" in page.text
    assert "cifar10, resnet20" in page.text


def test_a_run_and_a_record_of_the_same_settings_are_one_arm(save, make_run, make_page):
    page = make_page(make_run(method="SLR(interval=1)", epochs=4), save({"seed": 5}))
    (series,) = page.data["charts"]["contest-0-frontier"]["series"]
    assert series["labels"] == ["2 seeds"]


def test_an_unfinished_run_is_named_and_has_no_point(make_run, make_page):
    first, second = make_run("first"), make_run("second")
    (second / "summary.json").unlink()
    page = make_page(first, second)
    assert "second is unfinished; it has no point in the charts." in page.text


def test_a_page_has_room_for_twelve_runs_in_full(make_run, make_page):
    page = make_page(*[make_run(str(i), seed=i) for i in range(13)])
    assert page.html.count('class="run"') == 12
    assert "1 of 13 runs are in the comparison only; a page has room for 12." in page.text
    assert page.data["charts"]["contest-0-frontier"]["series"][0]["labels"] == ["13 seeds"]


def test_other_json_is_no_record(tmp_path, save):
    folder = save({})
    (folder / "x.json").write_text('{"version": 1, "task": "a"}')
    with pytest.raises(DataError, match=r"x.json: is no record of a run: it lacks method, dense_accuracy, status."):
        write_report([folder])
    (folder / "x.json").write_text('{"version": 2}')
    with pytest.raises(StateError, match=r"x.json: has version 2, and this program reads version 1"):
        write_report([folder])
