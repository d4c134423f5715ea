"""The life of a pruner, from building to the masks that remain."""

import copy
import gc
import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from pruned_network import small_model, start_pruner
from torch import Tensor, nn

from slrprune import (
    ADMM,
    SLR,
    Channel,
    ClassicSLR,
    Global,
    GradualMagnitude,
    Method,
    NoRamp,
    OneShot,
    Pruner,
    Unstructured,
)
from slrprune.errors import NonFiniteError, UsageError

EARLY = "finalized early, 4 of 10 planned steps were made"


@pytest.fixture(autouse=True)
def _every_digit() -> Iterator[None]:
    """States are compared as text here, in which NaN equals NaN: print every digit of every entry."""
    torch.set_printoptions(precision=17, threshold=1_000_000)
    yield
    torch.set_printoptions(profile="default")


def _bits(model: nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in model.parameters()]


def _same(one: list[Tensor], two: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_building_changes_nothing() -> None:
    model = small_model()
    before, names = _bits(model), list(model.state_dict())
    identity = [id(parameter) for parameter in model.parameters()]
    pruner, _ = start_pruner(model)
    assert _same(before, _bits(model))
    assert list(model.state_dict()) == names
    assert [id(parameter) for parameter in model.parameters()] == identity
    assert all(bool(mask.all()) for mask in pruner.masks().values())
    assert pruner.steps == 0
    assert pruner.records() == ()


def test_default_method_is_slr() -> None:
    assert start_pruner(small_model())[0].method == SLR()


def test_no_hook_is_left_on_anything() -> None:
    model = small_model()
    pruner, step = start_pruner(model)
    for _ in range(10):
        step()
    pruner.finalize()
    for module in model.modules():
        for hooks in (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks):
            assert not hooks
    assert all(parameter._backward_hooks is None for parameter in model.parameters())
    optimizer = pruner._groups[0][0]
    assert not optimizer._optimizer_step_post_hooks
    assert not optimizer._optimizer_step_pre_hooks


def test_finalize_returns_the_report_and_keeps_the_masks() -> None:
    model = small_model()
    pruner, step = start_pruner(model, {"0": Unstructured(0.5), "2": None})
    for _ in range(10):
        step()
    before = pruner.masks()
    report = pruner.finalize()
    assert pruner.is_finalized
    assert report.nnz == 24
    assert [layer.name for layer in report.layers] == ["0.weight"]
    assert {entry.name: entry.reason for entry in report.skipped}["2.weight"] == "rule '2': None"
    assert report.warnings == ()
    assert list(pruner.masks()) == ["0.weight"]
    assert torch.equal(pruner.masks()["0.weight"], before["0.weight"])
    assert torch.equal(model[0].weight != 0, pruner.masks()["0.weight"])
    assert pruner._state.tensors == {}, "the memory is freed"


@pytest.mark.parametrize(
    "method", [SLR(), ClassicSLR(interval=2), ADMM(interval=2), GradualMagnitude(interval=3)], ids=repr
)
def test_finalize_early_cuts_to_the_full_target_and_says_so(method: Method) -> None:
    pruner, step = start_pruner(small_model(), method=method)
    for _ in range(4):
        step()
    report = pruner.finalize()
    assert report.nnz == 20
    assert report.warnings == (EARLY,)
    assert f"warning: {EARLY}" in str(report)


def test_steps_past_the_end_keep_the_schedule_at_its_end() -> None:
    for method in (SLR(), ADMM(interval=3), GradualMagnitude(interval=3)):
        pruner, step = start_pruner(small_model(), method=method)
        for _ in range(17):
            step()
        assert pruner.steps == 17
        records = pruner.records()
        after = [record for record in records if record.step >= 10]
        assert {record.sparsity for record in after} == {0.75}
        assert {record.penalty for record in after if not math.isnan(record.penalty)} <= {10.0}
        # An update at the end of the plan, whatever the interval, then in the same rhythm.
        steps = [record.step for record in records]
        assert steps == [s for s in range(1, 18) if s % method.interval == 0 or s == 10]
        report = pruner.finalize()
        assert (report.nnz, report.steps, report.total_steps, report.warnings) == (20, 17, 10, ())


def test_forgotten_step_is_an_error_at_the_end() -> None:
    model = small_model()
    pruner, _ = start_pruner(model)
    before = _bits(model)
    message = r"Pruner\.finalize: no step was made\. Call pruner\.step\(loss\) after each optimizer\.step\(\)"
    with pytest.raises(UsageError, match=message):
        pruner.finalize()
    assert _same(before, _bits(model))
    assert not pruner.is_finalized


def test_one_shot_cuts_without_training() -> None:
    pruner, _ = start_pruner(small_model(), method=OneShot())
    report = pruner.finalize()
    assert report.nnz == 20
    assert report.warnings == ()


def test_missed_steps_enter_the_next_call_as_one_longer_step() -> None:
    """Every second call is forgotten: the run still ends feasible, and says that it ended early."""
    model = small_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    pruner = Pruner(model, optimizer, Global(0.75), total_steps=10, method=SLR(sigma=1.0, ramp=NoRamp()))
    for step in range(10):
        before = _bits(model)
        loss = model(torch.ones(3, 6)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 2:
            pruner.step(loss)
            assert sum(int((weight != 0).sum()) for weight in (model[0].weight, model[2].weight)) == 20
        else:
            assert not _same(before, _bits(model))
    assert pruner.steps == 5
    report = pruner.finalize()
    assert report.nnz == 20
    assert report.warnings == ("finalized early, 5 of 10 planned steps were made",)


def test_a_skipped_step_does_not_count_and_changes_nothing() -> None:
    model = small_model()
    pruner, step = start_pruner(model)
    for _ in range(3):
        step()
    before, state = _bits(model), str(pruner.state_dict())
    for skipped in (True, torch.tensor(True), torch.tensor([1.0])):
        pruner.step(math.nan, skipped=skipped)
    assert _same(before, _bits(model))
    assert str(pruner.state_dict()) == state
    assert pruner.steps == 3


def test_preview_is_the_cut_on_a_copy() -> None:
    model = small_model()
    pruner, step = start_pruner(model)
    for _ in range(4):
        step()
    before, state = _bits(model), str(pruner.state_dict())
    preview = pruner.preview()
    assert _same(before, _bits(model))
    assert str(pruner.state_dict()) == state
    assert not any(a.data_ptr() == b.data_ptr() for a, b in zip(preview.parameters(), model.parameters(), strict=True))
    pruner.finalize()
    assert _same(_bits(preview), _bits(model))
    with pytest.raises(UsageError, match=r"Pruner\.preview: the pruner has been finalized"):
        pruner.preview()


def test_masks_are_copies() -> None:
    pruner, step = start_pruner(small_model())
    step()
    for moment in ("running", "finalized"):
        state = str(pruner.masks())
        for mask in pruner.masks().values():
            mask.logical_not_()
        assert str(pruner.masks()) == state, moment
        if moment == "running":
            pruner.finalize()


def test_apply_masks_makes_an_average_sparse() -> None:
    """An exponential moving average mixes supports of many moments; it is sparse only after apply_masks_."""
    model = small_model()
    pruner, step = start_pruner(model, Global(0.75), method=SLR(sigma=1.0))
    average = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9))
    for _ in range(10):
        step()
        average.update_parameters(model)
    pruner.finalize()
    copied = average.module
    values = _bits(copied)
    assert int(copied[0].weight.count_nonzero() + copied[2].weight.count_nonzero()) > 20
    for target in (average.module, average):  # AveragedModel adds the prefix `module.`
        pruner.apply_masks_(target)
    masks = pruner.masks()
    for name, before, now in zip(dict(copied.named_parameters()), values, copied.parameters(), strict=True):
        expected = before * masks[name] if name in masks else before
        assert torch.equal(now, expected)
    assert int(copied[0].weight.count_nonzero() + copied[2].weight.count_nonzero()) <= 20


def test_two_budgets_that_interleave_keep_registration_order() -> None:
    model = nn.Sequential(*(nn.Linear(4, 4) for _ in range(4)))
    one, two = Global(0.5), Global(0.25)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    pruner = Pruner(model, optimizer, {"[02]": one, "*": two}, total_steps=4, method=OneShot())
    assert pruner.problem.names == ("0.weight", "1.weight", "2.weight", "3.weight")
    with torch.no_grad():
        for scale, layer in zip((1.0, 1.0, 100.0, 100.0), model, strict=True):
            layer.weight.mul_(scale)
    report = pruner.finalize()
    # Each budget is shared by its own two layers only: the large weights of 2 and 3 take what the floors leave.
    kept = {layer.name: layer.nnz for layer in report.layers}
    assert kept["0.weight"] + kept["2.weight"] == 16
    assert kept["1.weight"] + kept["3.weight"] == 24
    assert kept["2.weight"] > kept["0.weight"]
    assert report.layers[0].constraint == "Global(sparsity=0.5), budget of 0.weight and 1 more"
    assert report.layers[3].constraint == "Global(sparsity=0.25), budget of 1.weight and 1 more"


def test_pruner_that_was_deleted_or_finalized_frees_its_weights() -> None:
    model = small_model()
    first, step = start_pruner(model)
    with pytest.raises(UsageError, match=r"Pruner: 0\.weight is held by another pruner\. Finalize or delete the other"):
        start_pruner(model)
    with pytest.raises(UsageError, match=r"2\.weight is held by another pruner"):
        start_pruner(model, {"2": Unstructured(0.5)})
    step()
    first.finalize()
    second = start_pruner(model)
    del second
    gc.collect()
    start_pruner(model)


def test_two_pruners_on_different_weights_are_fine() -> None:
    model = small_model()
    one, step_one = start_pruner(model, {"0": Unstructured(0.5)})
    two, step_two = start_pruner(model, {"2": Channel(0.5)})
    step_one()
    step_two()
    assert (one.finalize().nnz, two.finalize().nnz) == (24, 16)


def test_a_pruner_that_failed_to_build_holds_nothing() -> None:
    model = small_model()
    with pytest.raises(Exception, match="read_every"):
        start_pruner(model, read_every=0)
    model[2].weight.data[0, 0] = math.inf
    with pytest.raises(NonFiniteError, match=r"2\.weight: the weight is not finite"):
        start_pruner(model)
    model[2].weight.data[0, 0] = 0
    start_pruner(model)


def test_records_are_read_out_every_so_often() -> None:
    pruner, step = start_pruner(small_model(), read_every=4)
    pending = []
    for _ in range(10):
        step()
        pending.append(pruner._records.pending)
    assert pending == [1, 2, 3, 0, 1, 2, 3, 0, 1, 2]
    assert [record.step for record in pruner.records()] == list(range(1, 11))


def test_loss_may_be_a_number_or_a_tensor_of_one_entry() -> None:
    pruner, step = start_pruner(small_model())
    step()
    for loss in (1, 1.0, torch.tensor(1.0), torch.tensor([1.0]), torch.ones(1, 1, dtype=torch.bfloat16)):
        pruner.step(loss)
    assert pruner.steps == 6


def test_the_loss_is_copied() -> None:
    """A loop may accumulate into the tensor that it passed; the average must not follow."""
    pruner, _ = start_pruner(small_model())
    loss = torch.tensor(2.0, dtype=torch.float64)
    pruner.step(loss)
    loss.fill_(7.0)
    assert pruner.records()[0].loss == 2.0
    assert float(pruner.state_dict()["scalars"]["slow"]) == 2.0


def test_report_before_the_end_counts_the_weights_of_the_moment() -> None:
    pruner, step = start_pruner(small_model(), Unstructured(0.5), method=SLR(ramp=NoRamp()))
    assert pruner.report().nnz == 80
    step()
    report = pruner.report()
    assert (report.nnz, report.numel, report.steps, report.warnings) == (40, 80, 1, ())
    assert report.model_numel == 80 + 12


def test_weights_in_channels_last_keep_their_format() -> None:
    model = nn.Conv2d(4, 6, 3).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    other = nn.Conv2d(4, 6, 3)
    other.load_state_dict(model.state_dict())
    results = []
    for layer in (model, other):
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
        pruner = Pruner(layer, optimizer, Unstructured(0.75), total_steps=6)
        for _ in range(6):
            loss = layer(torch.ones(1, 4, 5, 5)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            pruner.step(loss)
        assert pruner.finalize().nnz == 54
        results.append(layer.weight)
    assert results[0].is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(results[0], results[1], atol=1e-6)


@pytest.mark.parametrize(
    "method", [SLR(), ClassicSLR(interval=2), ADMM(interval=2), GradualMagnitude(interval=2), OneShot()], ids=repr
)
def test_float16_weights(method: Method) -> None:
    torch.manual_seed(0)
    model = small_model().half()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    pruner = Pruner(model, optimizer, Global(0.75), total_steps=6, method=method)
    for _ in range(6):
        loss = model(torch.ones(3, 6, dtype=torch.float16)).float().square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        pruner.step(loss)
    assert pruner.finalize().nnz == 20
    assert model[0].weight.dtype is torch.float16


def test_large_float16_weights_are_not_taken_for_infinite() -> None:
    """Their norm exceeds the largest float16."""
    model = nn.Linear(64, 64, dtype=torch.float16)
    model.weight.data.fill_(6e4)
    pruner = Pruner(model, torch.optim.SGD(model.parameters(), lr=0.0), Unstructured(0.5), total_steps=4)
    pruner.step(1.0)
    assert pruner.steps == 1


def test_a_classifier_that_lost_classes_is_mentioned() -> None:
    layers = [nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)]
    expected = "3.weight, the model's last layer, lost 2 of its 4 outputs; are they classes? then {'3': None, '*': ...}"
    cases: list[tuple[Any, tuple[str, ...]]] = [
        (Channel(0.5), (expected,)),
        ({"3": None, "*": Channel(0.5)}, ()),
        (Channel(0.5, dim=1), ()),
        (Unstructured(0.5), ()),
    ]
    for rules, warnings in cases:
        model = copy.deepcopy(nn.Sequential(*layers))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        pruner = Pruner(model, optimizer, rules, total_steps=1, method=OneShot())
        assert pruner.report().warnings == ()
        assert pruner.finalize().warnings == warnings
