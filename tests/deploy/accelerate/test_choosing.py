"""A replacement stays only where it is faster, alone and in the whole model."""

import pytest
import torch
from torch import nn

from slrprune.deploy import kernels
from slrprune.deploy.accelerate import accelerate

pytestmark = pytest.mark.usefixtures("needs_kernels")


@pytest.fixture
def model(pruned):
    return pruned(nn.Sequential(*(nn.Linear(32, 32) for _ in range(4))))


def chosen(report):
    return [row.chosen for row in report.rows]


@pytest.mark.parametrize(("seconds", "expected"), [(0.94, "sparse kernel"), (0.96, "dense"), (1.5, "dense")])
def test_a_layer_is_replaced_where_it_is_five_percent_faster(seconds, expected, model, invented):
    timer = invented()
    timer.layers["sparse kernel"] = seconds
    _, report = accelerate(model, torch.randn(1, 32), timer=timer)
    assert chosen(report) == [expected] * 4
    if expected == "dense":
        assert "no other of the 2 measured is clearly faster" in report.rows[0].why
    else:
        assert report.rows[0].why == "takes 94% of the dense time"
        assert report.rows[0].speedup == pytest.approx(1 / 0.94)


def test_the_median_of_the_samples_decides(model, invented):
    class Noisy:
        def __call__(self, what, functions):
            times = invented()(what, functions)
            return {name: [1e-6, *values, *values, 1e6] for name, values in times.items()}

    _, report = accelerate(model, torch.randn(1, 32), timer=Noisy())
    assert chosen(report) == ["sparse kernel"] * 4


@pytest.mark.parametrize(("slower", "expected"), [(3, "sparse kernel"), (4, "dense")])
def test_a_candidate_must_win_three_of_four_rounds(slower, expected, model, invented):
    class Torn(type(invented())):
        def __call__(self, what, functions):
            times = super().__call__(what, functions)
            if what == "total":
                return times
            return {**{name: [1.0] * 12 for name in times}, "sparse kernel": [2.0] * slower + [0.25] * (12 - slower)}

    timer = Torn({}, {"accelerated, contiguous": 0.5})
    _, report = accelerate(model, torch.randn(1, 32), timer=timer)
    assert chosen(report) == [expected] * 4


@pytest.mark.parametrize(("second", "expected"), [(0.95, "accelerated, contiguous"), (1.0, "original")])
def test_a_small_gain_must_show_twice(second, expected, model, invented):
    gains = iter([0.95, second])

    timer = invented(total=lambda _: {"accelerated, contiguous": next(gains, 1.0), "dense, contiguous": 1.1})
    _, report = accelerate(model, torch.randn(1, 32), timer=timer)
    assert report.chosen == expected


@pytest.mark.parametrize("total", [0.99, 1.0, 2.0])
def test_a_model_that_gains_less_than_two_percent_stays_dense(total, model, invented):
    timer = invented(total={"accelerated, contiguous": total})
    result, report = accelerate(model, torch.randn(1, 32), timer=timer)
    assert chosen(report) == ["dense"] * 4
    assert report.chosen == "original"
    assert report.speedup == 1
    assert not any(isinstance(module, kernels.PackedLinear) for module in result.modules())
    assert report.rows[0].why == "alone it was faster, but not in the whole model"


def test_the_layers_that_gain_least_are_reverted_first(model, invented):
    def replaced(functions):
        modules = functions["accelerated, contiguous"].args[0].modules()
        return sum(isinstance(module, kernels.PackedLinear) for module in modules)

    class Graded(type(invented())):
        def __call__(self, what, functions):
            self.layers = {"sparse kernel": {"0": 0.9, "1": 0.5, "2": 0.8, "3": 0.1}.get(what, 1.0)}
            return super().__call__(what, functions)

    timer = Graded({}, lambda functions: {"accelerated, contiguous": 1.2 if replaced(functions) > 2 else 0.8})
    _, report = accelerate(model, torch.randn(1, 32), timer=timer)
    assert chosen(report) == ["dense", "sparse kernel", "dense", "sparse kernel"]
    assert report.totals["accelerated, contiguous"] == pytest.approx(0.8e6)
    assert report.speedup == pytest.approx(1.25)


def test_times_of_different_rounds_are_not_compared(model, invented):
    class Slowing(type(invented())):
        rounds = 0.0

        def __call__(self, what, functions):
            self.rounds += what == "total"
            factor = self.rounds if what == "total" else 1.0  # the machine gets slower from comparison to comparison
            return {
                name: [factor * value for value in values] for name, values in super().__call__(what, functions).items()
            }

    timer = Slowing({"sparse kernel": 0.25}, {"dense, contiguous": 1.1, "accelerated, contiguous": 1.05})
    _, report = accelerate(model, torch.randn(1, 32), timer=timer)
    assert timer.rounds == 3  # four layers, two, one
    assert report.chosen == "original"
    assert report.dense_time == report.totals["original"] == 3e6


def test_the_fastest_dense_variant_is_the_mark(pruned, invented):
    model = pruned(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()))
    total = {"dense, channels_last": 0.4, "accelerated, contiguous": 0.5, "accelerated, channels_last": 0.6}
    result, report = accelerate(model, torch.randn(1, 3, 8, 8), timer=invented(total=total))
    assert report.chosen == "dense, channels_last"
    assert chosen(report) == ["dense"]
    assert report.folded == 1
    assert result(torch.randn(2, 3, 8, 8)).is_contiguous(memory_format=torch.channels_last)
    assert "what was gained is from folding alone" in str(report)


def test_a_candidate_that_computes_something_else_is_refused(model, invented, monkeypatch):
    original = kernels.PackedLinear.forward
    monkeypatch.setattr(kernels.PackedLinear, "forward", lambda self, x: original(self, x) * 1.01)
    _, report = accelerate(model, torch.randn(1, 32), timer=invented())
    assert chosen(report) == ["dense"] * 4
    assert "its output differs by" in report.rows[0].refused["sparse kernel"]


def test_a_candidate_that_fails_is_refused(model, invented, monkeypatch):
    def fail(self, x):
        raise RuntimeError("no such instruction")

    monkeypatch.setattr(kernels.PackedLinear, "forward", fail)
    _, report = accelerate(model, torch.randn(1, 32), timer=invented())
    assert report.rows[0].refused["sparse kernel"] == "it fails here (RuntimeError: no such instruction)"


def test_few_zeros_are_not_tried(pruned, invented):
    timer = invented()
    _, report = accelerate(pruned(nn.Sequential(nn.Linear(64, 64)), 0.2), torch.randn(1, 64), timer=timer)
    assert "zeros: below 40% skipping them is not worth it" in report.rows[0].why
    assert {what for what, _ in timer.asked} == {"total"}


def test_every_call_of_a_shared_layer_counts(pruned, invented):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(16, 16)

        def forward(self, x):
            return self.layer(torch.relu(self.layer(x)))

    calls = []

    class Counting(type(invented())):
        def __call__(self, what, functions):
            if what == "layer":
                functions["dense"].module.register_forward_hook(lambda *_: calls.append(1))
            return super().__call__(what, functions)

    model, x = pruned(Twice()), torch.randn(3, 16)
    result, report = accelerate(model, x, timer=Counting({"sparse kernel": 0.25}, {"accelerated, contiguous": 0.5}))
    assert len(calls) >= 2
    assert not report.rows[0].relu
    torch.testing.assert_close(result(x), model(x))


def test_the_table_has_a_line_per_layer_and_the_totals(model, invented):
    _, report = accelerate(model, torch.randn(1, 32), timer=invented())
    lines = str(report).splitlines()
    assert lines[0].split() == ["layer", "weight", "zeros", "dense", "us", "chosen", "us", "speedup", "chosen"]
    assert lines[1].split()[:2] == ["0", "32x32"]
    assert lines[1].endswith("1,000,000.0  250,000.0    4.00x  sparse kernel")
    assert "original: 1,000,000 us" in lines
    assert "Returned: accelerated, contiguous, 2.00x the fastest dense variant" in lines
    assert "Measured for inputs (1, 32), 1 thread(s); other sizes run too, untuned." in lines
