"""`slrprune compare` and `slrprune table`."""

import json
import shlex
import sys
from pathlib import Path

import pytest

from slrprune.compare import RivalArm, arms
from slrprune.compare.engine import compare as library_compare
from slrprune.tasks import registry

QUICK = ("compare", "blobs", "--methods", "slr,one_shot,dense", "--sparsity", "0.5", "--seeds", "2", "--workers", "1")


def test_the_table_the_chart_and_the_verdict(slrprune):
    result = slrprune(*QUICK, "--sparsity", "0.75")
    assert result.exit_code == 0
    for word in ("blobs, mlp, 50%, 4 epochs, 2 seeds", "blobs, mlp, 75%, 4 epochs", "against the best rival", "4.0x"):
        assert word in result.stdout
    assert result.stdout.count("accuracy after the cut, epoch by epoch (validation split") == 2
    assert result.stdout.count("the best of the others") == 2
    assert result.stdout.rstrip().endswith("Records: runs/blobs")
    assert "10 runs, " in result.stdout
    assert len(list(Path("runs/blobs").glob("*.json"))) == 10
    assert "\x1b" not in result.stdout
    assert "[10/10]" in result.stderr


def test_json_is_all_there_is_on_stdout(slrprune, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/slrprune", *QUICK, "--json"])  # CliRunner leaves it alone
    content = json.loads(slrprune(*QUICK, "--json").stdout)
    assert content["folder"] == "runs/blobs"
    assert content["tables"][0]["rows"][0]["method"] == "dense"
    assert len(content["records"]) == 6
    assert content["records"][0]["status"] == "ok"
    assert content["records"][0]["command"] == shlex.join(["slrprune", *QUICK, "--json"])


def test_the_same_command_goes_on_where_it_stopped(slrprune):
    slrprune(*QUICK, "--out", "here")
    lost = next(Path("here").glob("*one_shot*-s1-*.json"))
    lost.unlink()
    result = slrprune(*QUICK, "--out", "here")
    assert "5 of 6 runs were finished before" in result.stderr
    assert "[6/6] one_shot 50% seed 1:" in result.stderr
    assert "slr 50%" not in result.stderr
    assert lost.exists()


def test_ctrl_c_says_how_to_go_on(slrprune, monkeypatch):
    def interrupted(*args, observer, **kwargs):
        def stop(record):
            raise KeyboardInterrupt

        observer.run_ended = stop
        return library_compare(*args, observer=observer, **kwargs)

    monkeypatch.setattr("slrprune.compare.compare", interrupted)
    result = slrprune(*QUICK)
    assert result.exit_code == 1
    assert "Interrupted. What was finished is in runs/blobs; the same command goes on from there." in result.stderr
    assert len(list(Path("runs/blobs").glob("*.json"))) == 1


def test_options_reach_the_task(slrprune):
    slrprune(*QUICK, "--out", "a", "--option", "noise=2.5", "--data", "x")
    slrprune(*QUICK, "--out", "b", "--option", "noise=2.5", "--data", "y")
    slrprune(*QUICK, "--out", "c")
    a, b, c = (sorted(path.name for path in Path(folder).glob("*.json")) for folder in "abc")
    assert a == b != c


def test_the_curve_can_be_taken_on_another_split(slrprune):
    content = json.loads(slrprune(*QUICK, "--curve", "test", "--json").stdout)
    assert content["tables"][0]["curve_split"] == "test"


def test_a_module_of_rivals_from_the_present_folder(slrprune, monkeypatch):
    monkeypatch.setattr(arms, "_REGISTRY", dict(arms._REGISTRY))
    Path("my_rivals.py").write_text(
        "from slrprune.compare import DenseArm, RivalArm, register\n"
        "from slrprune.train import DenseTrainer\n"
        "def build(model, optimizer, rules, total_steps):\n"
        "    return DenseTrainer(model, optimizer, total_steps)\n"
        "register(RivalArm('lazy', 'prunes nothing', build, 'lazy 1.0'))\n"
    )
    result = slrprune(*QUICK[:3], "slr,lazy", *QUICK[4:], "--rivals", "my_rivals")
    assert result.exit_code == 0
    assert isinstance(arms._REGISTRY["lazy"], RivalArm)
    assert "0.00% (too little)" in result.stdout


LISTS = [("--sparsity", "0.5,0.75"), ("--sparsity", "0.5", "0.75"), ("--sparsity", "0.5", "--sparsity", "0.75")]


@pytest.mark.parametrize("sparsity", LISTS)
def test_sparsities_are_a_list_however_they_are_written(slrprune, sparsity):
    quick = ("compare", "blobs", "--methods", "one_shot", "--seeds", "1", "--workers", "1", "--epochs", "1")
    for arguments in ((*quick, *sparsity), (quick[0], *sparsity, *quick[1:])):
        result = slrprune(*arguments, "--json")
        assert result.exit_code == 0
        assert [table["target"] for table in json.loads(result.stdout)["tables"]] == ["50%", "75%"]


def test_a_set_for_all_weights_that_fit_it(slrprune):
    quick = ("compare", "blobs", "--methods", "one_shot", "--seeds", "1", "--workers", "1", "--epochs", "1", "--json")
    (block,) = json.loads(slrprune(*quick, "--set", "2:4").stdout)["tables"]
    assert (block["target"], block["rows"][0]["sparsity"]) == ("2-4", 0.5)
    (block,) = json.loads(slrprune(*quick, "--set", "columns", "--sparsity", "0.25").stdout)["tables"]
    assert (block["target"], block["rows"][0]["sparsity"]) == ("columns-25%", 0.25)


def test_distillation_is_an_extra_of_every_method(slrprune):
    content = json.loads(slrprune(*QUICK, "--seeds", "1", "--distil", "--json").stdout)
    assert [record["method"] for record in content["records"]] == ["dense+distil", "slr+distil", "one_shot+distil"]
    assert {record["steps"] for record in content["records"]} == {36}  # 48 paid for


def test_folds_are_run_into_one_table(slrprune, monkeypatch):
    class Folded(registry._TASKS["blobs"]):
        name = "folded"

        def __init__(self, fold=0):
            super().__init__(noise=0.5 + fold)
            self.fold = fold

    monkeypatch.setattr(registry, "_TASKS", {**registry._TASKS, "folded": Folded})
    quick = ("compare", "folded", "--methods", "slr,one_shot", "--sparsity", "0.5", "--seeds", "2", "--workers", "1")
    content = json.loads(slrprune(*quick, "--folds", "3", "--json").stdout)
    assert len(content["records"]) == 12
    (block,) = content["tables"]
    assert (block["folds"], block["seeds"], block["rows"][0]["lead"]["count"]) == (3, 2, 3)
    assert "3 folds, 2 seeds" in slrprune("table", "runs/folded").stdout


def test_tuning_comes_before_the_runs_and_is_recorded(slrprune):
    result = slrprune(*QUICK, "--seeds", "1", "--tune", "3", "--json")
    assert result.exit_code == 0
    notes = {record["method"]: record["tuning"] for record in json.loads(result.stdout)["records"]}
    assert notes["dense"] is notes["one_shot"] is None  # neither has a knob
    expected = {"trials": 3, "epochs": 2, "seeds": [1000], "target": "50%"}
    assert {name: notes["slr"][name] for name in expected} == expected
    trials = [json.loads(path.read_text()) for path in Path("runs/blobs/tuning").glob("*.json")]
    assert [trial["test_accuracy_after_cut"] for trial in trials] == [None] * 3
    assert notes["slr"]["accuracy"] == max(trial["val_accuracy_after_cut"] for trial in trials)
    assert "after the cut on the validation split" in result.stderr
    assert "Warning" not in result.stderr  # the dense nets are trained here
    assert "\nslr was tuned: SLR(" in slrprune("table", "runs/blobs").stdout


def test_what_won_is_taken_into_other_comparisons(slrprune):
    slrprune(*QUICK, "--seeds", "1", "--tune", "3", "--out", "first")
    other = (*QUICK, "--sparsity", "0.75", "--option", "noise=2.5", "--epochs", "2", "--tuned", "first", "--out", "b")
    result = slrprune(*other, "--json")
    assert result.exit_code == 0
    trials = [json.loads(path.read_text()) for path in sorted(Path("first/tuning").glob("*.json"))]
    best = max(trial["val_accuracy_after_cut"] for trial in trials)
    for record in json.loads(result.stdout)["records"]:
        note = record["tuning"]
        if record["method"] == "slr":
            assert (note["trials"], note["epochs"], note["target"], note["accuracy"]) == (3, 2, "50%", best)
        else:
            assert note is None
    assert not Path("b/tuning").exists()
    text = slrprune(*other).stdout
    assert "\nslr was tuned: SLR(" in text
    assert ", best of 3 trials of 2 epochs at 50% on blobs, mlp.\n" in text
    result = slrprune(*QUICK, "--methods", "dpf", "--tuned", "first")
    assert "tuned(folder='first'): folder must have trials of dpf. It has trials of slr. Tune dpf" in result.stderr


def test_trials_on_the_task_whose_folds_are_run_are_refused(slrprune, monkeypatch):
    class Folded(registry._TASKS["blobs"]):
        def __init__(self, fold=0):
            super().__init__(noise=0.5 + fold)
            self.fold = fold

    monkeypatch.setattr(registry, "_TASKS", {**registry._TASKS, "blobs": Folded})
    slrprune(*QUICK, "--methods", "slr", "--seeds", "1", "--tune", "1")
    quick = (*QUICK, "--folds", "2", "--tuned", "runs/blobs", "--out", "folds")
    result = slrprune(*quick)
    assert result.exit_code == 1
    assert "compare: --folds and trials on blobs (runs/blobs) exclude each other: one fold's" in result.stderr
    monkeypatch.setattr(Folded, "name", "folded")
    assert slrprune(*quick).exit_code == 0


def test_tuning_from_trained_weights_is_warned_of(slrprune, monkeypatch):
    class Trained(registry._TASKS["blobs"]):
        name = "trained"

        def pretrained(self):
            return self.build_model()

    monkeypatch.setattr(registry, "_TASKS", {**registry._TASKS, "trained": Trained})
    quick = ("compare", "trained", *QUICK[2:], "--methods", "slr", "--seeds", "1")
    result = slrprune(*quick, "--tune", "2", "--json")
    assert json.loads(result.stdout)["folder"] == "runs/trained"
    warning = "Warning: trained starts from trained weights, which may have seen its validation data: then --tune"
    assert result.stderr.count(warning) == 1
    assert "Tune with dense nets of your own, and give that folder to --tuned." in result.stderr
    assert "Warning" not in slrprune(*quick).stderr
    assert "Warning" not in slrprune(*quick, "--tuned", "runs/trained").stderr


def test_trials_that_are_too_short_are_told_by_the_option_that_they_came_from(slrprune):
    result = slrprune(*QUICK[:3], "dpf", *QUICK[4:], "--tune", "5", "--tune-epochs", "1")
    assert result.exit_code == 1
    assert "Tuning(epochs=1): epochs is too few for the trial of dpf with SLR(" in result.stderr
    assert "An epoch has 12 steps; on the command line it is --tune-epochs." in result.stderr
    assert not Path("runs").exists()


@pytest.fixture
def folder(slrprune):
    slrprune(*QUICK, "--out", "here")
    return Path("here")


def test_a_table_needs_no_run(slrprune, folder):
    for path in (folder / "dense").iterdir():
        path.unlink()
    result = slrprune("table", folder)
    assert result.exit_code == 0
    assert "blobs, mlp, 50%, 4 epochs, 2 seeds" in result.stdout
    assert len(json.loads(slrprune("table", folder, "--json").stdout)["records"]) == 6


def test_a_table_is_written_into_a_document(slrprune, folder):
    document = Path("README.md")
    document.write_text("# Title\n<!-- t:begin -->\nold\n<!-- t:end -->\nend\n")
    result = slrprune("table", folder, "--into", document, "--marker", "t")
    assert (result.exit_code, result.stdout) == (0, "")
    printed = slrprune("table", folder, "--markdown").stdout.strip()
    assert printed.startswith("**blobs, mlp, 50%")
    assert document.read_text() == f"# Title\n<!-- t:begin -->\n\n{printed}\n\n<!-- t:end -->\nend\n"
    result = slrprune("table", folder, "--into", document, "--marker", "u")
    assert result.exit_code == 1
    assert "README.md: must hold <!-- u:begin --> and <!-- u:end --> once each" in result.stderr


def test_a_terminal_without_unicode_gets_plain_characters(folder):
    import io

    from rich.console import Console

    from slrprune.cli.render import show_blocks
    from slrprune.compare import blocks, load_records

    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    show_blocks(Console(file=stream, width=160), blocks(load_records(folder)))
    stream.flush()
    text = stream.buffer.getvalue().decode("ascii")
    assert "+-" in text
    assert "slr       " in text


def test_a_rival_may_be_named_and_methods_left_out(slrprune, folder):
    (block,) = json.loads(slrprune("table", folder, "--against", "dense", "--json").stdout)["tables"]
    assert {row["method"]: row["rival"] for row in block["rows"]} == {
        "dense": None,
        "slr": "dense",
        "one_shot": "dense",
    }
    text = slrprune("table", "--without", "dense", "one_shot", folder, "--markdown").stdout
    assert "2 seeds, without dense and one_shot, dense " in text
    assert "| slr | " in text
    assert "| one_shot | " not in text
    document = Path("page.md")
    document.write_text("<!-- t:begin --><!-- t:end -->")
    slrprune("table", folder, "--into", document, "--marker", "t", "--against", "slr")
    assert "| against slr |" in document.read_text()
    result = slrprune("table", folder, "--against", "slt")
    assert result.exit_code == 1
    assert "table(against='slt'): against must be one of dense, one_shot, slr." in result.stderr


def test_a_comparison_shows_the_difference_to_a_named_rival(slrprune):
    result = slrprune(*QUICK, "--against", "one_shot", "--without", "dense")
    assert result.exit_code == 0
    assert "against one_shot" in result.stdout
    assert "without dense" in result.stdout
    assert "slr is " in result.stdout
    assert "the best of the others" not in result.stdout
    assert "dense 50%" not in result.stdout


def test_an_unknown_rival_is_refused_before_anything_runs(slrprune):
    for option in ("--against", "--without"):
        result = slrprune(*QUICK, option, "dpf")
        assert result.exit_code == 1
        assert f"compare({option[2:]}='dpf'): {option[2:]} must be one of slr, one_shot, dense." in result.stderr
    assert not Path("runs").exists()


def test_strict_is_a_setting_of_the_task_where_it_has_one(slrprune, monkeypatch):
    seen = []

    class Careful(registry._TASKS["blobs"]):
        name = "careful"

        def __init__(self, noise=0.5, strict=False):
            super().__init__(noise=noise)
            self.strict = strict
            seen.append(strict)

        def warnings(self):
            return () if self.strict else ("Skipped 1, since the image cannot be read: a_b.jpg.",)

    monkeypatch.setattr(registry, "_TASKS", {**registry._TASKS, "careful": Careful})
    quick = ("compare", "careful", *QUICK[2:])
    lenient = slrprune(*quick)
    assert lenient.stdout.count("Skipped 1, since the image cannot be read: a_b.jpg.") == 1
    assert slrprune("table", "runs/careful").stdout.count("Skipped 1, since") == 1
    strict = slrprune(*quick, "--strict", "--out", "strict")
    assert strict.exit_code == 0
    assert "Skipped" not in strict.stdout
    assert seen == [False, True]
    assert slrprune(*QUICK, "--strict").exit_code == 0  # blobs skips nothing, so nothing is to be set


def test_strict_needs_a_function_that_knows_it(slrprune):
    Path("mine.py").write_text(
        "def plain(): raise AssertionError\ndef careful(strict=False): raise ValueError(f'strict is {strict}')\n"
    )
    refused = slrprune("compare", "mine.py:plain", *QUICK[2:], "--strict")
    assert refused.exit_code == 1
    assert "compare --strict: mine.py:plain takes no argument 'strict'. Give it one that says whether" in refused.stderr
    called = slrprune("compare", "mine.py:careful", *QUICK[2:], "--strict")
    assert "strict is True" in f"{called.stderr}{called.exception}"
    unknown = slrprune("compare", "blob", *QUICK[2:], "--strict")
    assert "compare: there is no task 'blob'. Did you mean 'blobs'?" in unknown.stderr
    no_data = slrprune("compare", "timm:resnet18", *QUICK[2:], "--strict")
    assert "compare: timm:resnet18 is a model without data." in no_data.stderr
