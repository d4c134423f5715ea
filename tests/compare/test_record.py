"""Records on the disk."""

import json
from pathlib import Path

import pytest

from slrprune.atomic import write_atomically
from slrprune.compare import RECORD_VERSION, Status, load_record, load_records
from slrprune.errors import DataError, StateError


def test_a_record_survives_the_disk(record_of, tmp_path):
    record = record_of(
        curve=((1, 50.0), (2, 60.5)),
        curve_split="val",
        losses=(0.5, 0.25),
        machine={"cores": 2},
        metric="mean IoU",
        warnings=("Skipped 1.",),
        dense_weights="0123456789abcdef",
    )
    record.save(tmp_path / "a.json")
    assert load_record(tmp_path / "a.json") == record


def test_a_diverged_record_survives_the_disk(record_of, tmp_path):
    record = record_of(accuracy=None, status=Status.DIVERGED, reason="NaN at step 3.", sparsity=None)
    record.save(tmp_path / "a.json")
    assert load_record(tmp_path / "a.json") == record
    assert json.loads((tmp_path / "a.json").read_text())["status"] == "diverged"


def test_a_record_of_an_earlier_day_has_no_metric_and_no_warnings(record_of, saved):
    folder = saved(record_of(metric="mean IoU", warnings=("Skipped 1.",)))
    path = folder / "slr-0.json"
    content = json.loads(path.read_text())
    del content["metric"], content["warnings"], content["tuning"], content["dense_weights"]
    path.write_text(json.dumps(content))
    assert load_record(path) == record_of(metric="", warnings=())
    change(path, task_settings={"metric": "mAP@0.5", "workers": 0})
    assert load_record(path).metric == "mAP@0.5"  # tasks with a choice told theirs there
    change(path, metric="mAP@0.5:0.95")
    assert load_record(path).metric == "mAP@0.5:0.95"


def test_all_committed_records_can_be_read():
    results = Path(__file__).resolve().parents[2] / "benchmarks" / "results"
    files = [path for path in results.glob("*/**/*.json") if "identity" in json.loads(path.read_text())]
    assert len(files) > 100
    for path in files:
        record = load_record(path)
        assert record.is_ok or record.reason  # one that diverged may be committed, too: with what happened


def test_the_file_is_plain_json_with_the_fields_one_expects(record_of, tmp_path):
    record_of().save(tmp_path / "a.json")
    content = json.loads((tmp_path / "a.json").read_text())
    assert content["version"] == RECORD_VERSION
    for name in ("task", "model", "method", "method_settings", "rules", "sparsity", "epochs", "seed", "machine"):
        assert name in content
    for name in ("dense_accuracy", "test_accuracy_after_cut", "curve", "steps", "wall_time_s", "command", "status"):
        assert name in content


def change(path, **fields):
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_another_version_is_refused(record_of, saved):
    folder = saved(record_of(), record_of(seed=1))
    change(folder / "slr-1.json", version=99)
    with pytest.raises(StateError, match=r"slr-1\.json: has version 99, and this program writes version 1\. Take"):
        load_records(folder)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", r"a\.json: cannot be read as JSON\. Move it away"),
        ("[1]", r"a\.json: is no record of a run\."),
        ('{"task": "x"}', r"a\.json: is no record of a run\."),
        (f'{{"version": {RECORD_VERSION}, "task": "x"}}', r"a\.json: lacks model, method,"),
    ],
)
def test_what_is_no_record_is_refused(text, sentence, tmp_path):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match=sentence):
        load_record(tmp_path / "a.json")


def test_values_of_the_wrong_kind_are_refused(record_of, saved):
    folder = saved(record_of())
    change(folder / "slr-0.json", status="splendid")
    sentence = r'slr-0\.json: has "splendid" for status, which is not of the kind that belongs there\. Move it away'
    with pytest.raises(DataError, match=sentence):
        load_records(folder)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("test_accuracy_after_cut", "90"),
        ("test_accuracy_after_cut", float("nan")),
        ("test_accuracy_after_cut", [90.0]),
        ("test_accuracy_after_cut", True),
        ("test_accuracy_after_cut", 10**400),
        ("seed", "0"),
        ("seed", 0.0),
        ("epochs", "20"),
        ("sparsity", "0.9"),
        ("task_settings", []),
        ("task_settings", None),
        ("task_settings", {"fold": [0]}),
        ("dense_start", None),
        ("method", None),
        ("metric", 1),
        ("wall_time_s", "2"),
        ("warnings", "abc"),
        ("losses", [0.1, None]),
        ("curve", [[1, 2.0, 3.0]]),
        ("curve", [1.0]),
        ("machine", {"cores": None}),
        ("tuning", [1]),
    ],
)
def test_a_damaged_field_is_named(record_of, saved, field, value):
    folder = saved(record_of())
    change(folder / "slr-0.json", **{field: value})
    with pytest.raises(
        DataError, match=rf"slr-0\.json: has .* for {field}, which is not of the kind that belongs there"
    ):
        load_records(folder)


@pytest.mark.parametrize("version", [True, 1.0, "1"])
def test_a_version_is_a_whole_number(record_of, saved, version):
    folder = saved(record_of())
    change(folder / "slr-0.json", version=version)
    with pytest.raises(StateError, match=rf"slr-0\.json: has version {version}, and this program writes version 1\."):
        load_records(folder)


def test_a_run_that_is_ok_has_a_figure(record_of, saved):
    folder = saved(record_of(accuracy=None))
    with pytest.raises(DataError, match=r"slr-0\.json: says that the run is ok, and has no figure\. Move it away"):
        load_records(folder)


def test_a_run_counts_once(record_of, saved):
    """A copy under another name would be counted twice in some columns of a table."""
    folder = saved(record_of(), record_of(seed=1))
    (folder / "z.json").write_text((folder / "slr-0.json").read_text())
    with pytest.raises(DataError, match=r"z\.json: holds the same run as slr-0\.json\. Move one of the two away"):
        load_records(folder)


def test_a_number_that_json_does_not_know_is_refused_before_writing(record_of, tmp_path):
    with pytest.raises(ValueError, match="Out of range float"):
        record_of(accuracy=float("nan")).save(tmp_path / "a.json")
    assert list(tmp_path.iterdir()) == []


def test_a_failing_write_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "a.txt"
    write_atomically(path, lambda partial: partial.write_text("old"))

    def fail(partial):
        partial.write_text("half")
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        write_atomically(path, fail)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]
