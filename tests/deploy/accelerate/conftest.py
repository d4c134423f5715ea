"""What the tests of accelerate share: invented times, pruned models, the check that all of them have in common."""

import copy
from collections.abc import Callable, Mapping

import pytest
import torch
from torch import nn

from slrprune.deploy import kernels
from slrprune.deploy.accelerate import Accelerated, AccelerateReport, accelerate


@pytest.fixture
def needs_kernels() -> None:
    """Skips where the sparse kernels are not built."""
    if not kernels.is_available():
        pytest.skip(f"needs the sparse kernels: {kernels.why_unavailable()}")


class InventedTimes:
    """A timer that calls every function once and returns seconds of the test's choice.

    Args:
        layers: seconds by candidate, for each layer; 1 where nothing is said.
        total: seconds by variant, or a function of the variants that gives them.
    """

    def __init__(self, layers: Mapping[str, float], total: Mapping[str, float] | Callable[..., Mapping[str, float]]):
        self.layers, self.total, self.asked = layers, total, []

    def __call__(self, what, functions):
        self.asked.append((what, tuple(functions)))
        for function in functions.values():
            function()
        if what == "total":
            total = self.total(functions) if callable(self.total) else self.total
            return {name: [total.get(name, 1.0)] for name in functions}
        return {name: [self.layers.get(name, 1.0)] for name in functions}


ACCELERATED = {"accelerated, contiguous": 0.5, "accelerated, channels_last": 0.6}


@pytest.fixture
def invented():
    """Makes a timer under which one candidate is the fastest, and the whole model with it."""

    def invented(candidate="sparse kernel", total=ACCELERATED) -> InventedTimes:
        return InventedTimes({candidate: 0.25}, total)

    return invented


@pytest.fixture
def pruned():
    """Sets a fraction of every linear and convolution weight to zero, and gives BatchNorm something to do."""

    def pruned(model: nn.Module, sparsity: float = 0.9) -> nn.Module:
        with torch.no_grad():
            for module in model.modules():
                if isinstance(module, (nn.Linear, nn.Conv2d)):
                    module.weight.mul_(torch.rand_like(module.weight) >= sparsity)
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    for tensor in (module.running_mean, module.bias):
                        tensor.normal_()
                    for tensor in (module.running_var, module.weight):
                        tensor.uniform_(0.5, 2)
        return model.eval()

    return pruned


def outputs(model, inputs):
    with torch.no_grad():
        output = model(**inputs) if isinstance(inputs, dict) else model(inputs)
    return output if isinstance(output, torch.Tensor) else output[0]


@pytest.fixture
def accelerated():
    """Calls accelerate; checks that the original is as it was, and that outputs agree, on other inputs too."""

    def accelerated(model, example, *others, **kwargs) -> tuple[Accelerated, AccelerateReport]:
        before = copy.deepcopy(model.state_dict())
        result, report = accelerate(model, example, **kwargs)
        after = model.state_dict()
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before)
        for inputs in (example, *others):
            expected = outputs(model, inputs)
            torch.testing.assert_close(outputs(result, inputs), expected, rtol=1e-4, atol=1e-4 * expected.abs().max())
        return result, report

    return accelerated
