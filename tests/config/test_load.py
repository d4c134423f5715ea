"""Configurations: what is read, what is written, and every mistake at once."""

import json
import re

import pytest

pytest.importorskip("pydantic", reason="configurations need pydantic, of the extra cli")

from slrprune.config import ConfigError, dump_config, load_config, make_config, schema
from slrprune.errors import DataError

FIVE = """\
task: digitz
sparsity: 1.5

distil:
  temprature: 3
epochs: 0
precision: fp8
"""


def problems(path, *overrides):
    with pytest.raises(ConfigError) as error:
        load_config(path, overrides)
    return error.value.problems


@pytest.fixture
def written(tmp_path):
    """Writes a file of this text, and returns its path."""

    def write(text):
        path = tmp_path / "run.yaml"
        path.write_text(text)
        return path

    return write


def test_five_mistakes_are_told_at_once_with_line_field_and_what_is_allowed(written):
    found = {problem.field: problem for problem in problems(written(FIVE))}
    assert {field: problem.line for field, problem in found.items()} == {
        "task": 1,
        "sparsity": 2,
        "distil.temprature": 5,
        "epochs": 6,
        "precision": 7,
    }
    assert "must be one of digits, cifar10" in found["task"].rule
    assert "the closest is digits" in found["task"].rule
    assert found["sparsity"].rule == "must be a number in [0, 1) or null"
    assert found["distil.temprature"].rule == "is no field; the closest is temperature; there are weight, temperature"
    assert found["epochs"].rule == "must be a whole number of at least 1 or null"
    assert found["precision"].rule == "must be one of no, bf16, fp16"
    assert found["precision"].got == "'fp8'"


def test_the_sentence_names_the_file_and_lists_the_mistakes_in_its_order(written):
    path = written(FIVE)
    with pytest.raises(ConfigError) as error:
        load_config(path)
    first, *rest = str(error.value).splitlines()
    assert first == f"{path}: 5 mistakes."
    assert [line.split(":")[0].strip() for line in rest] == ["line 1", "line 2", "line 5", "line 6", "line 7"]
    assert rest[1] == "  line 2: sparsity = 1.5: must be a number in [0, 1) or null."


def test_flags_and_overrides_have_no_line(written):
    found = problems(written("task: digits\nepochs: 3\n"), "epochs=-1", "checkpoint.every=often", "nonsense")
    assert [(problem.field, problem.line) for problem in found] == [
        ("--set", None),
        ("epochs", None),
        ("checkpoint.every", None),
    ]
    assert found[0].rule == "must have the form key=value, as in --set set=filters"


@pytest.mark.parametrize(("entry", "name"), [("filters", "filters"), ("filterz", "filters"), ("2:4", "2:4")])
def test_a_set_given_as_to_other_verbs_is_told_its_spelling(entry, name):
    with pytest.raises(ConfigError, match=rf"must have the form key=value; the set {name} is --set set={name}\."):
        make_config([entry], task="digits")
    assert make_config([f"set={name}"], task="digits").set == name


def test_a_pattern_that_yaml_takes_for_a_number_is_meant(written):
    assert load_config(written("task: digits\nset: 2:4\n")).set == "2:4"
    assert [problem.field for problem in problems(written("task: digits\nset: 123\n"))] == ["set"]


@pytest.mark.parametrize(
    ("text", "field", "line", "rule"),
    [
        ("epochs: 3", "task", None, "is missing; it must be text"),
        ("task: digits\ntask: digits", "task", 2, "must be there once, line 1 has it too"),
        ("task: [", "the file", 1, r"must be YAML \("),
        ("- task", "the file", 1, "must hold a mapping"),
        ("task: timm:resnet18", "task", 1, "is a model without data"),
        ("task: s1.py", "task", 1, "must name the function in the file, too, as in s1.py:make_task$"),
        ("task: nowhere", "task", 1, "must be one of digits, .*, or module:function or file.py:function$"),
        ("task: digits\nepochs: yes", "epochs", 2, "must be a whole number of at least 1"),
        ("task: digits\nlr: .inf", "lr", 2, "must be a number larger than 0 or null"),
        ("task: digits\ntracker: tensorbord", "tracker", 2, "one of tensorboard, wandb, mlflow, none; .*tensorboard$"),
        ("task: digits\nmethod: slrr", "method", 2, "must be one of slr, dpf.*; the closest is slr"),
        ("task: digits\nset: '2:4'\nsparsity: 0.5", "sparsity", 3, "must be left out: the set 2:4 owns its level"),
        ("task: digits\nset: filters\nallocation: erk", "allocation", 3, "the set filters has no budget"),
        ("task: digits\nrules: {a: null}\nsparsity: 0.5", "sparsity", 3, "must be left out where there are rules"),
        ("task: digits\nrules: {}", "rules", 2, "must hold at least one rule"),
        ("task: digits\nrules:\n  conv1: NM(5, 4)", "rules.conv1", 3, "is refused: .*n must be at most m=4"),
        ("task: digits\nrules:\n  conv1: nm(2, 4)", "rules.conv1", 3, "has no nm: must be one of .*closest is NM"),
        ("task: digits\nrules:\n  conv1: Magnitude()", "rules.conv1", 3, r"must be a set such as NM\(2, 4\)"),
        (f"task: digits\nrules:\n  conv1: {'-' * 9000}1", "rules.conv1", 3, "is nested too deep"),
        (f"task: digits\nrules:\n  conv1: {'NM(2, 4) & ' * 3000}NM(2, 4)", "rules.conv1", 3, "is nested too deep"),
        ("task: digits\nrules:\n  conv1: NM(2, 4", "rules.conv1", 3, "is not an expression"),
        ("task: digits\ntask_options: {folds: 1}", "task_options.folds", 2, "is no setting of digits.*closest is fold"),
        ("task: digits\ntask_options:\n  bf16: 'no'", "task_options.bf16", 3, "^must be true or false"),
        ("task: digits\nrules: {a: 'NM(2, 4) & Unstructured(0.9)'}", "rules.a", 2, "is refused: .*compete for"),
        ("task: digits\nmethod_options:\n  sigmma: 1", "method_options.sigmma", 3, "is no setting of slr.*is sigma"),
        (
            "task: digits\nmethod_options:\n  interval: 0",
            "method_options.interval",
            3,
            "must be an integer of at least",
        ),
        ("task: digits\nmethod_options: {ramp: CubicRamp(end=2)}", "method_options.ramp", 2, "end must be in"),
        ("task: digits\nseed: -1", "seed", 2, r"must be a whole number in \[0, 4294967296\)"),
    ],
)
def test_a_mistake_is_told_with_its_place(written, text, field, line, rule):
    (found,) = problems(written(text))
    assert (found.field, found.line) == (field, line)
    assert re.search(rule, found.rule), found.rule


def test_nothing_in_a_file_is_executed(written, tmp_path):
    target = tmp_path / "made"
    for text in (f"open({str(target)!r}, 'w')", f"().__class__.__base__, NM({target})", "NM(*[2, 4])", "NM.mro()"):
        (found,) = problems(written("task: digits\nrules:\n  conv1: " + json.dumps(text)))
        assert found.field == "rules.conv1"
    assert not target.exists()


def test_what_is_written_reads_the_same(written):
    config = make_config(
        ["precision=no", "distil.weight=0.3"],
        task="digits",
        rules={"conv1": None, "re:.*": "Channel(0.5) & NM(2, 4)"},
        method="admm",
        method_options={"interval": 7, "penalty": "GeometricPenalty(0.01, 1.0)"},
        lr=1e-7,
    )
    assert load_config(written(dump_config(config))) == config
    assert config.precision == "no"


def test_words_that_yaml_takes_for_booleans_are_words(written):
    config = load_config(written("task: digits\nprecision: no\ntracker: none\nlr: 1e-3\n"))
    assert (config.precision, config.tracker, config.lr) == ("no", "none", 0.001)


def test_a_configuration_cannot_be_changed():
    config = make_config(task="digits")
    with pytest.raises(ValueError, match="frozen"):
        config.epochs = 3


def test_a_file_that_cannot_be_read_is_told(tmp_path):
    way_out = r"\. Name a YAML file, such as the config\.yaml in the folder of a run\.$"
    with pytest.raises(
        DataError, match=r"nowhere\.yaml: the .* cannot be read \(no such file or directory\)" + way_out
    ):
        load_config(tmp_path / "nowhere.yaml")
    with pytest.raises(DataError, match=r"cannot be read \(is a directory\)" + way_out):
        load_config(tmp_path)
    (tmp_path / "latin.yaml").write_bytes("task: \u00e4\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"cannot be read \('utf-8' codec .*\)\. Save it as UTF-8\.$"):
        load_config(tmp_path / "latin.yaml")


def test_the_schema_holds_every_field_with_its_range():
    found = schema()
    assert found["additionalProperties"] is False
    number, null = found["properties"]["sparsity"]["anyOf"]
    assert (number, null) == ({"type": "number", "minimum": 0, "exclusiveMaximum": 1}, {"type": "null"})
    assert "gradual_magnitude" in found["properties"]["method"]["enum"]
    assert all("description" in field or "$ref" in field for field in found["properties"].values())
