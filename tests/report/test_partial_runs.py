"""Runs that did not come to their end, and folders that are not what they should be."""

import json
import sys

import pytest

from slrprune.errors import ArgumentError, DataError, MissingExtraError, StateError
from slrprune.report import write_report
from slrprune.report.page import _library


def unfinished(folder, *removed):
    for name in ("summary.json", *removed):
        (folder / name).unlink()
    return folder


def test_a_run_without_a_summary_is_shown_as_not_finished(make_run, make_page):
    page = make_page(unfinished(make_run(), "layers.json", "histograms.json"))
    assert "Not finished: there is no summary.json yet, and the last line is at step 40 of 40." in page.text
    assert "Accuracy so far 9" in page.text
    assert "A copy of the model, cut to the final sparsity after epoch 4, on the val split." in page.text
    assert "Layers are counted at the end of a run, and this run has none yet." in page.text
    assert (
        "Files that are not there, so that their part of the page is empty: layers.json, histograms.json, summary.json."
        in page.text
    )
    assert page.data["charts"]["run-0-accuracy"]["series"][0]["x"] == [10, 20, 30, 40]


def test_what_to_type_next_fits_the_run(make_run, make_page):
    folder = make_run()
    (folder / "model.slrprune").touch()
    text = make_page(folder).text
    for command in (
        f"slrprune prune --config {folder}/config.yaml --set seed=1",
        "slrprune compare digits --sparsity 0.95",
    ):
        assert command in text
    assert f"load_sparse(&#39;{folder}/model.slrprune&#39;, model)" in text
    assert f"slrprune prune --resume {folder}" in make_page(unfinished(folder)).text


def test_an_interrupted_run_says_where(make_run, make_page):
    folder = unfinished(make_run())
    with (folder / "history.jsonl").open("a") as file:
        file.write(json.dumps({"kind": "event", "step": 41, "event": "interrupted", "text": "SIGTERM"}) + "\n")
    assert "Interrupted at step 41 of 40." in make_page(folder).text


def test_a_diverged_run_has_its_reason_and_no_accuracy(make_run, make_page):
    page = make_page(make_run(status="diverged"))
    assert "Diverged: the loss is not finite at step 31. There is no pruned model to judge." in page.text
    assert "No final figure: see the notes." in page.text


def test_a_run_that_has_just_begun_is_a_page_too(tmp_path, make_page):
    folder = tmp_path / "new"
    folder.mkdir()
    (folder / "config.yaml").write_text("task: digits\n")
    page = make_page(folder)
    assert "Accuracy after the cut not measured The run has not come to its hard cut." in page.text
    assert page.data["charts"] == {}


def test_a_last_line_that_is_cut_off_is_left_out(make_run, make_page):
    folder = make_run()
    with (folder / "history.jsonl").open("a") as file:
        file.write('{"kind": "update", "st')
    assert "The last line of history.jsonl was cut off, and left out." in make_page(folder).text


def test_what_happened_on_the_way_is_noted(make_run, make_page):
    folder = make_run()
    with (folder / "history.jsonl").open("a") as file:
        file.write(
            json.dumps({"kind": "event", "step": 33, "event": "fallback", "text": "went back to step 30"}) + "\n"
        )
    page = make_page(folder)
    assert "Step 33: went back to step 30" in page.text
    assert "2 notes to read before you trust these figures" in page.text


def test_a_sparsity_that_was_not_reached_is_noted(make_run, make_page):
    folder = make_run()
    path = folder / "summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"sparsity_reached": 0.9}))
    assert "The sparsity asked for was 0.95, and 0.9 was reached: no fair comparison." in make_page(folder).text


@pytest.mark.parametrize("name", ["summary.json", "layers.json", "histograms.json"])
def test_another_version_is_refused(name, make_run):
    folder = make_run()
    (folder / name).write_text('{"version": 9}')
    with pytest.raises(
        StateError, match=f"{name}: has version 9, and this program reads version 1. Make the report with"
    ):
        write_report([folder])


def test_a_damaged_file_is_refused_by_name(make_run):
    folder = make_run()
    (folder / "layers.json").write_text('{"version"')
    with pytest.raises(DataError, match=r"layers.json: cannot be read as JSON \(.*\). Move it away to do without it."):
        write_report([folder])


def test_a_damaged_line_in_the_middle_is_refused(make_run):
    folder = make_run()
    lines = (folder / "history.jsonl").read_text().splitlines()
    lines[2] = "[1]"
    (folder / "history.jsonl").write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"history.jsonl, line 3: is no JSON object. The file is damaged."):
        write_report([folder])


def test_what_is_no_run_is_refused(tmp_path, make_run):
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        DataError, match=r"empty: holds neither a run nor records of a comparison\. Name the folder of a run\."
    ):
        write_report([tmp_path / "empty"])
    with pytest.raises(DataError, match="absent: does not exist"):
        write_report([tmp_path / "absent"])
    run = make_run()
    with pytest.raises(DataError, match=rf"There are runs in it: try {run}\."):
        write_report([tmp_path])
    with pytest.raises(ArgumentError, match=r"write_report\(runs=\[\]\): runs must name at least one run"):
        write_report([])


@pytest.mark.parametrize(("module", "package"), [("jinja2", "Jinja2"), ("plotly.offline", "Plotly")])
def test_a_missing_package_is_named(module, package, make_run, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == module.split(".")[0]]:
        monkeypatch.delitem(sys.modules, name)
    _library.cache_clear()
    monkeypatch.setitem(sys.modules, module.split(".")[0], None)
    with pytest.raises(
        MissingExtraError, match=f"The run report needs {package}. Install it with: pip install 'slrprune.report.'"
    ):
        write_report([make_run()])
