"""`slrprune report`: what it prints, and what it refuses."""

import json
import webbrowser

import pytest
from run_folders import MadeUpRun

SMALL = MadeUpRun(updates=20, epochs=2)


def test_it_writes_into_the_run_and_says_where(slrprune, tmp_path):
    folder = SMALL.write(tmp_path / "run")
    result = slrprune("report", folder)
    assert result.exit_code == 0
    path = folder / "report.html"
    assert result.output == f"Report: {path} ({path.stat().st_size / 1e6:.1f} MB)\n"


def test_several_runs_go_into_one_page(slrprune, tmp_path):
    folders = [SMALL.write(tmp_path / name) for name in ("a", "b")]
    result = slrprune("report", *folders, "--json", "--out", "deep/page.html")
    assert result.exit_code == 0
    written = tmp_path / "deep" / "page.html"
    assert json.loads(result.output) == {
        "path": "deep/page.html",
        "bytes": written.stat().st_size,
        "runs": [*map(str, folders)],
    }


@pytest.mark.parametrize(("found", "more"), [(True, ""), (False, "No browser was found; open the file by hand.\n")])
def test_it_can_be_opened_at_once(found, more, slrprune, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) or found)
    result = slrprune("report", SMALL.write(tmp_path / "run"), "--open")
    assert opened == [(tmp_path / "run" / "report.html").as_uri()]
    assert result.output.endswith(f"MB)\n{more}")


def test_a_folder_without_a_run_is_refused_in_a_sentence(slrprune, tmp_path):
    result = slrprune("report", tmp_path)
    assert result.exit_code == 1
    sentence = f"slrprune: {tmp_path}: holds neither a run nor records of a comparison. Name the folder of a run."
    assert sentence in result.output.replace("\n", " ")


def test_without_a_run_the_command_line_is_wrong(slrprune):
    assert slrprune("report").exit_code == 2
