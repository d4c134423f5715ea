"""What was chosen, saved, and applied in another process: the same outputs, bit for bit, without measuring."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from slrprune.deploy import save_sparse
from slrprune.deploy.accelerate import Choices, Layout, accelerate
from slrprune.deploy.sparse_file.errors import FileWriteError
from slrprune.errors import DataError, StateError, UsageError

CHOICES = Choices(fused=True, layout=Layout.CHANNELS_LAST, layers={"0": "sparse kernel"})

PROGRAM = """
import sys
import torch
from torch import nn
from slrprune.deploy import accelerate, load_sparse
from slrprune.deploy.accelerate import Choices

torch.set_num_threads(1)
model = nn.Sequential(nn.Conv2d(8, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 36, 10)).eval()
load_sparse("model.safetensors", model)
x = torch.load("x.pt")
for name in sys.argv[1:]:
    fast, report = accelerate(model, x, choices=Choices.load(f"{name}.json"))
    torch.save(fast(x), f"{name}.pt")
    assert [row.chosen for row in report.rows] == ["sparse kernel"] * 2
"""


@pytest.mark.usefixtures("needs_kernels")
def test_a_second_process_computes_the_same_bits(pruned, invented, tmp_path):
    layers = [nn.Conv2d(8, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 36, 10)]
    model, x = pruned(nn.Sequential(*layers)), torch.randn(2, 8, 8, 8)
    save_sparse(model, tmp_path / "model.safetensors")
    torch.save(x, tmp_path / "x.pt")
    expected = {}
    for layout in Layout:
        fast, report = accelerate(model, x, timer=invented(total={f"accelerated, {layout.value}": 0.5}))
        assert report.choices.layout is layout
        report.choices.save(tmp_path / f"{layout.value}.json")
        expected[layout.value] = fast(x)
    subprocess.run([sys.executable, "-c", PROGRAM, *expected], cwd=tmp_path, check=True)
    for name, y in expected.items():
        assert torch.equal(torch.load(tmp_path / f"{name}.pt"), y)


@pytest.mark.usefixtures("needs_kernels")
def test_nothing_is_measured(pruned, invented):
    model, x = pruned(nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32))), torch.randn(1, 32)
    timer = invented()
    _, report = accelerate(model, x, timer=timer, choices=Choices(True, Layout.CONTIGUOUS, {"2": "sparse kernel"}))
    assert timer.asked == []
    assert [row.chosen for row in report.rows] == ["dense", "sparse kernel"]
    assert report.totals == {}
    assert "Returned: accelerated, contiguous, as chosen before" in str(report)


def test_the_model_as_it_was_can_be_a_choice(pruned):
    model, x = pruned(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))), torch.randn(1, 3, 8, 8)
    fast, report = accelerate(model, x, choices=Choices(fused=False, layout=Layout.CONTIGUOUS, layers={}))
    assert report.chosen == "original"
    assert report.folded == 0
    assert torch.equal(fast(x), model(x))


def test_json_round_trip(tmp_path):
    assert Choices.from_json(CHOICES.to_json()) == CHOICES
    CHOICES.save(tmp_path / "choices.json")
    assert Choices.load(tmp_path / "choices.json") == CHOICES


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{", "", "the text is no JSON"),
        ('"slrprune_choices": 1', '"slrprune_choices": 2', "the text holds no choices of version 1"),
        ('"fused": true', '"fused": 1', "fused or layout is missing or wrong"),
        ("channels_last", "diagonal", "fused or layout is missing or wrong"),
        ('"channels_last"', "[]", "fused or layout is missing or wrong"),
        ("sparse kernel", "magic", "layers is missing, or names an unknown candidate"),
        ('"sparse kernel"', "[]", "layers is missing, or names an unknown candidate"),
    ],
)
def test_another_text_is_refused(old, new, message):
    text = CHOICES.to_json()
    assert old in text
    with pytest.raises(DataError, match=f"Choices: {message}.*save report.choices"):
        Choices.from_json(text.replace(old, new))


def test_deep_nesting_is_refused():
    with pytest.raises(DataError, match=r"Choices: the text is no JSON.*save report.choices"):
        Choices.from_json("[" * 100_000)


def test_a_folder_that_is_missing_is_named(tmp_path):
    with pytest.raises(
        FileWriteError, match=r"Choices\.save.*choices\.json.*cannot write.*choose a folder that exists"
    ):
        CHOICES.save(tmp_path / "nowhere" / "choices.json")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"Choices\.load.*nothing\.json.*cannot read"):
        Choices.load(tmp_path / "nothing.json")


def test_choices_of_another_model_are_refused(pruned):
    with pytest.raises(StateError, match=r"the model has no layer '0' that could be replaced\. Measure this model"):
        accelerate(nn.Sequential(nn.ReLU()).eval(), torch.randn(1, 3), choices=CHOICES)


def test_bfloat16_must_be_allowed_again(pruned):
    choices = Choices(True, Layout.CONTIGUOUS, {"0": "dense bf16"})
    model, x = pruned(nn.Sequential(nn.Linear(8, 8))), torch.randn(1, 8)
    with pytest.raises(UsageError, match=r"they contain bfloat16\. Pass allow_bf16=True"):
        accelerate(model, x, choices=choices)
    _, report = accelerate(model, x, choices=choices, allow_bf16=True)
    assert report.rows[0].chosen == "dense bf16"


def test_a_kernel_that_is_not_there_gives_way_to_dense(pruned, monkeypatch):
    from slrprune.deploy import kernels

    monkeypatch.setattr(kernels, "is_available", lambda: False)
    monkeypatch.setattr(kernels, "why_unavailable", lambda: "this machine has no compiler")
    choices = Choices(True, Layout.CONTIGUOUS, {"0": "sparse kernel"})
    model, x = pruned(nn.Sequential(nn.Linear(8, 8))), torch.randn(1, 8)
    fast, report = accelerate(model, x, choices=choices)
    assert report.rows[0].chosen == "dense"
    assert report.rows[0].why == "the sparse kernels are not available"
    assert str(report).count("this machine has no compiler") == 1
    assert torch.equal(fast(x), model(x))
