"""The scripts that measure two of the paper's claims: the compression at equal accuracy, and the convergence."""

import importlib.util
import json
import sys
from argparse import Namespace
from math import inf
from pathlib import Path

import blobs
import pytest

from slrprune.compare import load_records
from slrprune.errors import ArgumentError
from slrprune.tasks import registry

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


def load(name, monkeypatch):
    """The script as a module."""
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def bisection(monkeypatch):
    """The script."""
    return load("bisection", monkeypatch)


@pytest.fixture
def convergence(monkeypatch):
    """The script."""
    return load("convergence", monkeypatch)


class Blobs(blobs.Blobs):
    """Noisy enough for pruning to cost something."""

    def __init__(self):
        super().__init__(noise=1.0, test=200)


@pytest.fixture(autouse=True)
def _blobs_are_a_task(monkeypatch):
    monkeypatch.setattr(registry, "_TASKS", {**registry._TASKS, "blobs": Blobs})


def test_the_bracket_closes_around_a_known_crossing(bisection):
    tried = []

    def drop_at(sparsity):
        tried.append(sparsity)
        return 10 * sparsity - 7  # 1 at 0.8

    bracket = bisection.bisect(drop_at, 1.0, 0.5, 0.99, 8)
    assert bracket.low <= 0.8 < bracket.high
    assert (1 - bracket.low) / (1 - bracket.high) < 1.02
    assert (bracket.low_drop, bracket.high_drop) == (drop_at(bracket.low), drop_at(bracket.high))
    assert tried[0] == 0.9293  # half way from density 0.5 to 0.01, on the scale of its logarithm
    assert all(round(sparsity, 4) == sparsity for sparsity in tried)


def test_an_end_that_was_never_seen_is_left_open(bisection):
    assert bisection.bisect(lambda _: 0.5, 1.0, 0.5, 0.9, 2).high is None
    never = bisection.bisect(lambda _: inf, 1.0, 0.5, 0.9, 2)
    assert (never.low, never.high_drop) == (None, inf)
    assert bisection.row("wild", never) == "| wild | - | 66.56% (3.0x): inf |"


def test_the_bisection_leaves_ordinary_records_and_repeats_nothing(bisection, tmp_path, monkeypatch, capsys):
    line = ["bisection.py", "blobs", "--methods", "one_shot", "--epochs", "1"]
    line += ["--seeds", "1", "--rounds", "2", "--drop", "5", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", line)
    bisection.main()
    printed = capsys.readouterr().out
    assert printed.splitlines()[0] == "| method | last within 5 points: drop | first beyond: drop |"
    assert printed.splitlines()[2].startswith("| one_shot | ")
    records = load_records(tmp_path)
    assert len(records) == 2
    assert records[0].sparsity in (0.95, 0.8885, 0.8419, 0.9776)
    bisection.main()
    assert capsys.readouterr().out == printed
    assert load_records(tmp_path) == records


@pytest.mark.parametrize("ends", [("0.99", "0.5"), ("0.5", "0.5"), ("-0.1", "0.5"), ("0.5", "1"), ("nan", "0.5")])
def test_ends_that_are_no_bracket_are_refused(bisection, tmp_path, monkeypatch, capsys, ends):
    line = ["bisection.py", "blobs", "--epochs", "1", f"--low={ends[0]}", f"--high={ends[1]}"]
    monkeypatch.setattr(sys, "argv", [*line, "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit, match="2"):
        bisection.main()
    message = f"error: 0 <= low < high < 1 must hold, got --low {ends[0]} and --high {ends[1]}"
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_method_that_cannot_run_is_refused_before_the_bisection(bisection, tmp_path, monkeypatch):
    line = ["bisection.py", "blobs", "--methods", "one_shot,admm_ramp", "--epochs", "1"]
    monkeypatch.setattr(sys, "argv", [*line, "--out", str(tmp_path / "out")])
    with pytest.raises(ArgumentError, match="total_steps is too short"):
        bisection.main()
    assert not (tmp_path / "out").exists()


def test_admm_is_given_its_best_setting(convergence, tmp_path):
    args = Namespace(method="one_shot", against="quadratic_penalty,one_shot", sparsity=0.9, budgets=[12], seeds=2)
    (pair,) = pairs = convergence.plans(Namespace(**vars(args), factor=3))
    assert [(plan.epochs, [arm.name for arm in plan.arms]) for plan in pair] == [
        (4, ["one_shot"]),
        (12, ["quadratic_penalty", "one_shot"]),
    ]
    (verdict,) = convergence.run(Blobs(), pairs, tmp_path)
    records = load_records(tmp_path)
    assert len(records) == 6

    def mean(method, epochs):
        accuracies = [r.test_accuracy_after_cut for r in records if (r.method, r.epochs) == (method, epochs)]
        return sum(accuracies) / len(accuracies)

    best = max(("quadratic_penalty", "one_shot"), key=lambda method: mean(method, 12))
    assert (verdict.rival, verdict.rival_accuracy) == (best, pytest.approx(mean(best, 12)))
    assert verdict.accuracy == pytest.approx(mean("one_shot", 4))
    assert verdict.lead.mean == pytest.approx(verdict.accuracy - verdict.rival_accuracy)
    assert verdict.holds == (verdict.lead.mean >= 0)
    assert convergence.row(verdict).startswith(f"| 4 | {verdict.accuracy:.2f} | 12 | {best} | ")


def test_where_everything_diverged_there_is_no_verdict(convergence):
    record = json.loads('{"seed": 0, "method": "admm", "epochs": 6}')
    ours, rival = (Namespace(**record, test_accuracy_after_cut=accuracy) for accuracy in (90.0, None))
    verdict = convergence.judged([ours], [rival])
    assert (verdict.rival, verdict.lead, verdict.holds) == (None, None, False)
    assert convergence.row(verdict) == "| 6 | 90.00 | 6 | - | diverged | - |"


def test_a_table_from_records_pairs_every_budget_with_a_third_of_it(convergence):
    def record(method, epochs, seed, accuracy):
        return Namespace(method=method, epochs=epochs, seed=seed, test_accuracy_after_cut=accuracy)

    ours = [record("slr", 2, seed, 80.0 + seed) for seed in range(2)]
    rivals = [record("admm", epochs, seed, 79.0 + seed) for epochs in (4, 6) for seed in range(2)]
    verdicts = convergence.verdicts_of([*rivals, *ours])
    assert convergence.table(verdicts).splitlines()[2:] == ["| 2 | 80.50 | 6 | admm | 79.50 | +1.00 [+1.00, +1.00] |"]


def test_budgets_that_do_not_divide_are_refused(convergence, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["convergence.py", "blobs", "--budgets", "7", "--out", "nowhere"])
    with pytest.raises(SystemExit):
        convergence.main()
    assert "every budget must be a multiple of 3" in capsys.readouterr().err
