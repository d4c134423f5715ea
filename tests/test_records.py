"""Records are collected without reading, read in one go, saved as plain columns; the report adds up."""

import dataclasses
import math

import pytest
import torch

from slrprune import SparsityReport, UpdateRecord
from slrprune.errors import StateError
from slrprune.records import LayerSparsity, RecordBuffer
from slrprune.rules import Skipped


def _add(buffer: RecordBuffer, step: int, **device: float) -> None:
    host = {"step": step, "iteration": step, "penalty": 0.5}
    values = {"loss": 1.0, "sparsity": 0.25, "mask_changes": 3.0} | device
    buffer.add(host, {name: torch.tensor(value) for name, value in values.items()})


def test_read_returns_all_records_in_order() -> None:
    buffer = RecordBuffer()
    for step in (1, 2):
        _add(buffer, step, loss=float(step))
    assert (len(buffer), buffer.pending) == (2, 2)
    first = buffer.read()
    assert (len(buffer), buffer.pending) == (2, 0)
    _add(buffer, 3, loss=3.0, primal_residual=0.5)  # other fields than before
    assert [record.loss for record in buffer.read()] == [1.0, 2.0, 3.0]
    assert buffer.read()[:2] == first[:2] or str(buffer.read()[:2]) == str(first)
    assert buffer.read()[2].primal_residual == 0.5
    assert math.isnan(buffer.read()[1].primal_residual)


def test_what_a_method_does_not_report_is_nan() -> None:
    buffer = RecordBuffer()
    _add(buffer, 1)
    record = buffer.read()[0]
    numbers = {name for name, value in dataclasses.asdict(record).items() if not math.isnan(value)}
    assert numbers == {"step", "iteration", "penalty", "loss", "sparsity", "mask_changes"}
    assert (type(record.step), type(record.mask_changes), type(record.sparsity)) == (int, int, float)


def test_values_keep_double_precision() -> None:
    buffer = RecordBuffer()
    exact = 1 / 3
    values = {"loss": torch.tensor(exact, dtype=torch.float64), "mask_changes": torch.tensor(2**40)}
    buffer.add({"step": 1, "iteration": 1}, values)
    record = buffer.read()[0]
    assert record.loss == exact
    assert record.mask_changes == 2**40


def test_a_record_is_a_snapshot() -> None:
    buffer = RecordBuffer()
    loss = torch.tensor(1.0)
    buffer.add({"step": 1, "iteration": 1}, {"loss": loss, "mask_changes": torch.tensor(0)})
    loss.fill_(9.0)
    assert buffer.read()[0].loss == 1.0


def test_state_goes_round() -> None:
    buffer, other = RecordBuffer(), RecordBuffer()
    for step in (1, 2, 3):
        _add(buffer, step)
    state = buffer.state()
    assert list(state) == [field.name for field in dataclasses.fields(UpdateRecord)]
    assert all(type(value) in (int, float) for column in state.values() for value in column)
    _add(other, 9)
    other.load(state)
    assert str(other.read()) == str(buffer.read())
    _add(other, 4)
    assert [record.step for record in other.read()] == [1, 2, 3, 4]
    assert state["step"] == [1, 2, 3]
    empty = RecordBuffer()
    empty.load(RecordBuffer().state())
    assert empty.read() == ()


@pytest.mark.parametrize("damage", ["missing", "short"])
def test_damaged_columns_change_nothing(damage: str) -> None:
    buffer = RecordBuffer()
    _add(buffer, 1)
    _add(buffer, 2)
    before = str(buffer.read())
    state = buffer.state()
    if damage == "missing":
        del state["loss"]
    else:
        state["loss"] = state["loss"][:1]
    with pytest.raises(StateError, match=r"the records are incomplete\. The state is damaged"):
        buffer.load(state)
    assert str(buffer.read()) == before


def test_records_are_frozen() -> None:
    buffer = RecordBuffer()
    _add(buffer, 1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        buffer.read()[0].loss = 2.0  # type: ignore[misc]


def _report(**changes: object) -> SparsityReport:
    values: dict[str, object] = {
        "layers": (
            LayerSparsity("conv.weight", (4, 3, 3, 3), 108, 27, "Unstructured(sparsity=0.75)"),
            LayerSparsity("fc.weight", (10, 20), 200, 4, "Unstructured(sparsity=0.98)"),
        ),
        "skipped": (
            Skipped("conv.bias", 4, "bias of Conv2d is not pruned by default"),
            Skipped("head.weight", 50, "rule 'head': None"),
            Skipped("head.bias", 5, "rule 'head': None"),
        ),
        "model_numel": 367,
        "model_nnz": 90,
        "steps": 10,
        "total_steps": 10,
    }
    return SparsityReport(**(values | changes))  # type: ignore[arg-type]


def test_the_report_adds_up() -> None:
    report = _report()
    assert (report.numel, report.nnz) == (308, 31)
    assert report.sparsity == pytest.approx(1 - 31 / 308)
    assert report.compression_ratio == pytest.approx(308 / 31)
    assert report.model_compression_ratio == pytest.approx(367 / 90)
    assert [layer.sparsity for layer in report.layers] == [0.75, 0.98]


def test_a_model_of_zeros_has_a_finite_compression() -> None:
    report = _report(layers=(LayerSparsity("w", (10,), 10, 0, "?"),), model_nnz=0)
    assert report.compression_ratio == 10
    assert report.model_compression_ratio == 367


def test_the_printed_report() -> None:
    text = str(_report(warnings=("finalized early",)))
    assert text == "\n".join(
        [
            "parameter                 shape         nnz       numel  sparsity  set",
            "conv.weight             4x3x3x3          27         108    75.00%  Unstructured(sparsity=0.75)",
            "fc.weight                 10x20           4         200    98.00%  Unstructured(sparsity=0.98)",
            "pruned tensors: 31 of 308 weights kept, sparsity 89.94%, compression 9.9x",
            "whole model: 90 of 367 parameters non-zero, compression 4.1x",
            "left dense: 3 parameters (1 x bias of Conv2d is not pruned by default; 2 x rule 'head': None)",
            "steps: 10 of 10 planned",
            "warning: finalized early",
        ]
    )


def test_nothing_left_dense() -> None:
    assert "left dense: 0 parameters (none)" in str(_report(skipped=()))


def test_a_tensor_without_entries_has_no_zeros() -> None:
    layer = LayerSparsity("weight", (0, 4), 0, 0, "Unstructured(0.5)")
    report = SparsityReport((layer,), (), 0, 0, 1, 1)
    assert layer.sparsity == report.sparsity == 1.0
    assert "weight" in str(report)
