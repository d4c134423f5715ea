"""`slrprune sensitivity`: one layer at a time, without training."""

import json
from pathlib import Path

import blobs
import pytest
from safetensors.torch import save_model


def test_the_curve_of_every_layer(slrprune):
    result = slrprune("sensitivity", "blobs", "--sparsity", "0.75", "0.25", "--json")
    found = json.loads(result.stdout)
    assert result.stderr.startswith("blobs has no trained weights: training them for 2 epochs, once, runs/blobs/dense/")
    assert (found["split"], found["levels"], found["set"]) == ("val", ["25%", "75%"], "unstructured")
    assert [(curve["name"], curve["sparsity"]) for curve in found["curves"]] == [
        ("0.weight", [0.25, 0.75]),
        ("3.weight", [0.25, 0.75]),
    ]
    again = slrprune("sensitivity", "blobs", "--sparsity", "0.25,0.75", "--json")
    assert (again.stdout, again.stderr) == (result.stdout, "")  # from the same weights, without training


def test_the_table_with_a_chart(slrprune):
    text = slrprune("sensitivity", "blobs", "--drop", "100").stdout
    assert "blobs, mlp: accuracy on the val split with one layer cut (unstructured), without training; dense " in text
    (header,) = [line for line in text.splitlines() if line.startswith("layer")]
    assert header.split()[:5] == ["layer", "curve", "weights", "50%", "70%"]
    (row,) = [line for line in text.splitlines() if line.startswith("0.weight")]
    assert len(row.split()[1]) == 6  # one bar for each level
    assert row.split()[-1] == "98%"
    assert text.splitlines()[-1].startswith("The most sensitive layer at 98% is ")


def test_a_set_that_owns_its_level(slrprune):
    found = json.loads(slrprune("sensitivity", "blobs", "--set", "2:4", "--json").stdout)
    assert (found["levels"], found["curves"][0]["sparsity"]) == (["2:4"], [0.5])
    text = slrprune("sensitivity", "blobs", "--set", "2:4").stdout
    assert "curve" not in text


def test_weights_from_a_file(slrprune):
    model = blobs.Blobs().build_model()
    save_model(model, "w.safetensors")
    result = slrprune("sensitivity", "blobs", "--weights", "w.safetensors", "--sparsity", "0.5", "--json")
    assert result.stderr == ""
    assert json.loads(result.stdout)["dense"] == blobs.Blobs().evaluate(model, "val")
    Path("x.safetensors").write_bytes(b"nothing")
    result = slrprune("sensitivity", "blobs", "--weights", "x.safetensors")
    assert "x.safetensors: holds no weights of mlp (" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("--set", "global"),
            "sensitivity(set='global'): set must be one of unstructured, filters, columns, blocks-4x1",
        ),
        (("--set", "2:4", "--sparsity", "0.5"), "sensitivity(sparsity=0.5): sparsity must not be given"),
        (("--sparsity", "much"), "sensitivity(sparsity='much'): sparsity must be a number, or several with commas"),
        (("--sparsity", "1"), "Unstructured(sparsity=1.0): sparsity must be in [0, 1)."),
        (("--set", "kernel-patterns"), "sensitivity: no weight of Sequential fits the set kernel-patterns, for ex"),
    ],
)
def test_mistakes_are_told_in_a_sentence(slrprune, arguments, sentence):
    result = slrprune("sensitivity", "blobs", *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"slrprune: {sentence}")
