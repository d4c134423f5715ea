"""The timer, on a clock that the test moves."""

import pytest
import torch

from slrprune.deploy.accelerate import InterleavedTimer, timing


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 0.0

        def __call__(self):
            return self.now

        def taking(self, seconds, log=None, name=""):
            def function():
                self.now += seconds
                if log is not None:
                    log.append(name)

            return function

    clock = Clock()
    monkeypatch.setattr(timing.time, "perf_counter", clock)
    return clock


def test_seconds_per_call(clock):
    samples = InterleavedTimer(7)("layer", {"a": clock.taking(0.004), "b": clock.taking(0.006)})
    assert samples == {"a": pytest.approx([0.004] * 7), "b": pytest.approx([0.006] * 7)}


def test_rounds_are_interleaved_and_begin_with_another(clock):
    log = []
    functions = {name: clock.taking(0.004, log, name) for name in "abc"}
    InterleavedTimer(3)("layer", functions)
    assert "".join(log) == "aaabbbccc" + "abc" + "bca" + "cab"


def test_short_functions_are_repeated(clock):
    log = []
    samples = InterleavedTimer(5)("layer", {"a": clock.taking(0.0005, log, "a")})
    assert len(log) == 3 + 5 * 4  # to last 2 ms
    assert samples["a"] == pytest.approx([0.0005] * 5)


def test_hopeless_ones_are_measured_three_times_only(clock):
    log = []
    samples = InterleavedTimer(9)("layer", {"a": clock.taking(0.004), "slow": clock.taking(0.05, log, "slow")})
    assert len(log) == 3
    assert samples["slow"] == pytest.approx([0.05])


def test_long_ones_get_fewer_rounds(clock):
    samples = InterleavedTimer(15)("total", {"a": clock.taking(1.0), "b": clock.taking(1.0)})
    assert len(samples["a"]) == 5


def test_real_functions_take_time():
    x = torch.randn(64, 64)
    samples = InterleavedTimer(3)("layer", {"a": lambda: x @ x})
    assert len(samples["a"]) == 3
    assert min(samples["a"]) > 0
