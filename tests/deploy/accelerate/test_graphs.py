"""What other tools of torch make of an accelerated module."""

import pytest
import torch
from torch import nn

from slrprune.deploy.accelerate import accelerate

pytestmark = pytest.mark.usefixtures("needs_kernels")


@pytest.fixture
def fast(pruned, invented):
    model = pruned(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 10)))
    return accelerate(model, torch.randn(2, 3, 8, 8), timer=invented())[0]


def test_export_keeps_the_kernels(fast):
    x = torch.randn(2, 3, 8, 8)
    program = torch.export.export(fast, (x,))
    assert torch.equal(program.module()(x), fast(x))
    called = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert called == ["slrprune.sparse_conv2d.default", "aten.flatten.using_ints", "slrprune.sparse_linear.default"]


def test_compile_takes_it_in_one_graph(fast):
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(torch.compile(fast, backend="eager", fullgraph=True)(x), fast(x))


def test_inference_mode(fast):
    x = torch.randn(2, 3, 8, 8)
    with torch.inference_mode():
        y = fast(x)
    assert torch.equal(y, fast(x))
