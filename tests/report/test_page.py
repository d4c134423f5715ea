"""What stands in the page, without a browser."""

import base64
import hashlib
import json
import re

import pytest
from plotly.offline import get_plotlyjs

from slrprune.report import write_report

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>&{{ 7*7 }}"


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_the_headline_has_every_figure_and_how_it_was_measured(make_run, make_page):
    folder = make_run(retrain_epochs=1)
    page = make_page(folder)
    summary = json.loads((folder / "summary.json").read_text())
    figures = {
        "Accuracy after retraining": f"{summary['accuracy_after_retraining']:.2f} %",
        "Compression": f"{summary['compression']:.1f}x",
        "File size": "5.76 kB",
        "Latency": "0.52 ms",
    }
    for title, value in figures.items():
        assert f"{title} {value}" in page.text
    assert f"dense 99.17 % −0.24 points {summary['accuracy_after_cut']:.2f} % right after the cut" in page.text  # noqa: RUF001
    assert "On the test split, after retraining with the mask fixed." in page.text
    assert "Median of 200 forward passes of one example on one thread." in page.text


def test_further_figures_of_the_task_are_shown_with_their_stages(make_run, make_page):
    folder = make_run()
    details = {"dense": {"top-5 accuracy": 92.228, EVIL: 1.0}, "after_cut": {"top-5 accuracy": None, EVIL: 2.0}}
    edit(folder / "summary.json", details=details)
    page = make_page(folder)
    assert "Top-5 accuracy 92.23 dense, not measured after the cut" in page.text
    assert EVIL not in page.html
    edit(folder / "summary.json", details=["of another program"])
    assert "Top-5" not in make_page(folder).text


def test_every_chart_has_its_table_with_the_exact_numbers(make_run, make_page):
    page = make_page(make_run(penalty=0.01))
    titles = {
        "Accuracy after a hard cut",
        "Loss",
        "Residuals",
        "Stepsize and penalty",
        "Sparsity",
        "Mask changes per update",
    }
    titles |= {"Surrogate conditions"}
    assert {f'<caption class="visually-hidden">{title}</caption>' in page.html for title in titles} == {True}
    assert len(page.data["charts"]) == len(titles)
    assert page.html.count("data-chart=") == len(titles)
    loss = page.data["charts"]["run-0-loss"]["series"][0]["y"]
    assert loss == [pytest.approx(2.2 * 2.718281828 ** (-epoch) + 0.02, rel=1e-4) for epoch in (1, 2, 3, 4)]


def test_the_surrogate_conditions_are_counted(make_run, make_page):
    folder = make_run()
    lines = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    held = sum(line["first_condition"] for line in lines if line["kind"] == "update")
    assert f"Condition 1 held at {held:.0f} of 40 updates" in make_page(folder).text


def test_a_method_without_conditions_says_so(make_run, make_page):
    page = make_page(make_run(has_conditions=False))
    assert "Surrogate conditions This method checks none." in page.text
    assert "run-0-conditions" not in page.data["charts"]


def test_layers_have_rows_masks_histograms_and_reasons(make_run, make_page):
    page = make_page(make_run())
    layers = page.data["runs"][0]["layers"]
    assert [layer["name"] for layer in layers] == [
        "stem.weight",
        "body.0.conv1.weight",
        "body.0.conv2.weight",
        "head.weight",
    ]
    for layer in layers:
        assert layer["image"]["uri"].startswith("data:image/png;base64,")
        assert len(layer["histogram"]["edges"]) == 65
        assert layer["track"]["epochs"] == [1, 2, 3, 4]
    assert [measure["key"] for measure in page.data["runs"][0]["measures"]] == [
        "sparsity",
        "size",
        "macs",
        "residual",
        "time",
    ]
    assert "1 weight left dense, and why" in page.text
    assert "body.0.bn1.weight fewer than two dimensions" in page.text


def test_command_settings_environment_and_seed_can_be_copied(make_run, make_page):
    folder = make_run(seed=7)
    page = make_page(folder)
    assert 'data-copy="run-0-command"' in page.html
    assert 'data-copy="run-0-config"' in page.html
    assert "slrprune prune digits --set seed=7" in page.text
    assert "Settings, seed 7" in page.text
    assert "retrain_epochs: 0" in page.text
    assert "machine.cpu Made-up CPU @ 2.50GHz" in page.text


def test_names_are_text_wherever_they_stand(make_run, make_page):
    folder = make_run(EVIL.replace("/", ":"), names=(EVIL, "b.weight"))
    for name in ("summary.json", "environment.json"):
        edit(folder / name, command=EVIL)
    edit(
        folder / "summary.json",
        task=EVIL,
        model=EVIL,
        method=EVIL,
        warnings=[EVIL],
        skipped=[{"name": EVIL, "reason": EVIL}],
    )
    (folder / "config.yaml").write_text(EVIL)
    page = make_page(folder)
    assert page.data["runs"][0]["layers"][0]["name"] == EVIL
    assert EVIL not in page.html
    assert len(re.findall(r"<script\b", page.html)) == 4  # theme, data, library, page
    assert page.html.count("</script>") == 4
    assert "<img src=x" not in page.html
    assert "49" not in page.between("<h1>", "</h1>")


def test_only_the_scripts_of_the_page_may_run(make_run, make_page):
    page = make_page(make_run())
    allowed = re.findall(r"sha256-([^&']+)", page.between('http-equiv="Content-Security-Policy" content="', '"'))
    inline = [*re.findall(r"<script>(.*?)</script>", page.html, re.DOTALL), page.library]
    assert allowed == [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in inline]
    assert page.library.strip() == get_plotlyjs().strip()
    assert "default-src &#39;none&#39;" in page.html
    assert not re.search(r"<[^>]*\son\w+=", page.html)
    assert not re.search(r"(?:src|href)=\"(?!#|data:)", page.html)


def test_the_same_run_gives_the_same_bytes(make_run, tmp_path):
    folder = make_run()
    first, second = (write_report([folder], tmp_path / name).read_bytes() for name in ("a.html", "b.html"))
    assert first == second


def test_the_report_of_one_run_lies_in_its_folder(make_run):
    folder = make_run()
    assert write_report([folder]) == folder / "report.html"


def test_numbers_that_are_not_finite_are_left_out(make_run, make_page):
    folder = make_run()
    text = (folder / "history.jsonl").read_text()
    (folder / "history.jsonl").write_text(re.sub(r'"loss": [\d.e-]+', '"loss": NaN', text))
    edit(folder / "summary.json", latency_ms=float("inf"))
    page = make_page(folder)
    assert "Loss No loss was recorded." in page.text
    assert "Latency not measured" in page.text
