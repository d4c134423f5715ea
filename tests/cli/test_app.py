"""What the command line says, and the codes with which it exits."""

import json

import pytest

import slrprune as library


def test_without_a_verb_it_says_what_to_do_first(slrprune):
    result = slrprune()
    assert result.exit_code == 0
    assert "  slrprune demo  " in result.stdout.splitlines()[3]


def test_the_version(slrprune):
    result = slrprune("--version")
    assert (result.exit_code, result.stdout.strip()) == (0, library.__version__)


@pytest.mark.parametrize("arguments", [("--help",), ("demo", "--help"), ("compare", "--help"), ("table", "--help")])
def test_help(slrprune, arguments):
    result = slrprune(*arguments)
    assert result.exit_code == 0
    assert "Usage" in result.stdout


@pytest.mark.parametrize(
    "arguments", [("prune",), ("demo", "--seed"), ("demo", "--seeds", "0"), ("compare",), ("compare", "a", "b")]
)
def test_a_wrong_command_line_exits_with_2_and_explains_on_stderr(slrprune, arguments):
    result = slrprune(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Error" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("compare", "blob"),
            "compare: there is no task 'blob'. Did you mean 'blobs'? Built in are digits, cifar10, ",
        ),
        (
            ("compare", "blobs", "--methods", "slr,admn"),
            "compare(method='admn'): method must be one of slr, dpf, classic_slr, classic_slr_ramp, ",
        ),
        (
            ("compare", "blobs", "--methods", "slr+distill"),
            "compare(extra='distill'): extra must be one of distil, bn, retrain. As in slr+distil.",
        ),
        (
            ("compare", "blobs", "--set", "filter"),
            "compare(set='filter'): set must be one of global, unstructured, filters, columns, blocks-4x1, 2:4, kernel",
        ),
        (("compare", "blobs", "--set", "columns"), "compare(sparsity=None): sparsity must be given (set columns)."),
        (
            ("compare", "blobs", "--set", "2:4", "--sparsity", "0.5"),
            "compare(sparsity=0.5): sparsity must not be given",
        ),
        (("compare", "blobs", "--sparsity", "most"), "compare(sparsity='most'): sparsity must be a number, or several"),
        (("compare", "blobs", "--folds", "2"), "compare: the task 'blobs' has no setting 'fold'."),
        (("compare", "digits", "--folds", "2", "--option", "fold=1"), "compare(option='fold=1'): option must not be"),
        (
            ("compare", "digits", "--folds", "2", "--tune", "2"),
            "compare: --tune and --folds exclude each other: one fold",
        ),
        (
            ("compare", "blobs", "--tune-epochs", "2"),
            "compare(tune_epochs=2): tune_epochs must not be given without --tune. Say --tune N, too.",
        ),
        (
            ("compare", "blobs", "--tune", "2", "--tuned", "here"),
            "compare: --tune and --tuned exclude each other: settings come from new trials, or from earlier ones.",
        ),
        (
            ("compare", "blobs", "--tuned", "here"),
            "tuned(folder='here'): folder must be a folder that exists. Name the folder of a comparison that was made",
        ),
        (
            ("compare", "blobs", "--tune", "9"),
            "Tuning(trials=9): trials must be at most 6, the settings that there are",
        ),
        (("compare", "blobs", "--methods", ","), "Plan(arms=()): arms must hold at least one."),
        (("compare", "blobs", "--sparsity", "1.5"), "Global(sparsity=1.5): sparsity must be in [0, 1)."),
        (
            ("compare", "blobs", "--option", "nose=1"),
            "compare: the task 'blobs' has no setting 'nose'. The closest of its settings is 'noise'.",
        ),
        (("compare", "blobs", "--option", "noise"), "compare(option='noise'): option must have the form name=value."),
        (
            ("compare", "blobs", "--rivals", "no_such_module"),
            "compare: the module 'no_such_module' cannot be imported (No module named 'no_such_module').",
        ),
        (("table", "nowhere"), "nowhere: holds no records. Name the folder that demo or compare wrote to."),
        (("table", ".", "--into", "a.md"), "table: --into and --marker need each other. Give both, or neither."),
    ],
)
def test_an_error_is_one_sentence_on_stderr(slrprune, arguments, sentence):
    result = slrprune(*arguments)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.strip().startswith(f"slrprune: {sentence}".removesuffix("."))
    assert len(result.stderr.strip().splitlines()) == 1


def test_an_error_of_the_system_is_a_sentence_too(slrprune, tmp_path):
    (tmp_path / "runs").write_text("a file where a folder should be")
    result = slrprune("compare", "blobs", "--methods", "slr", "--workers", "1")
    assert result.exit_code == 1
    assert "runs" in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr


def test_tasks_are_listed_with_settings_and_methods(slrprune):
    text = slrprune("tasks").stdout
    assert "blobs  Four clouds of points." in text
    assert "    --option noise=0.5" in text
    assert "in a configuration they are the fields of task_options." in text
    assert "    needs --data DIR with cora.npz, or graph/cora.npz; no extra" in text
    assert "  gradual_magnitude  gradual magnitude pruning" in text
    content = json.loads(slrprune("tasks", "--json").stdout)
    assert content["tasks"]["blobs"]["settings"] == {"noise": "0.5", "data": "None"}
    assert content["tasks"]["digits"]["settings"]["fold"] == "0"
    assert [content["tasks"][name]["needs"] for name in ("blobs", "digits")] == ["", "no data; extra demo"]
    assert content["methods"]["dense"] == "no pruning, trained for the same steps"
