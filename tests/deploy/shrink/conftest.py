"""What the tests of shrink share: models with dead channels, and the check that all of them have in common."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

from slrprune.deploy.shrink import ShrinkReport, shrink
from slrprune.sets import Channel

pytest.importorskip("torch_pruning")


@pytest.fixture
def lively() -> Callable[[nn.Module], nn.Module]:
    """Gives every BatchNorm statistics and values like those of a trained model, so that constants are not zero."""

    def lively(model: nn.Module) -> nn.Module:
        with torch.no_grad():
            for module in model.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.running_mean.normal_()
                    module.running_var.uniform_(0.5, 2)
                    module.weight.normal_()
                    module.bias.normal_()
        return model.eval()

    return lively


@pytest.fixture
def kill() -> Callable[..., None]:
    """Writes zeros into channels of a layer: outputs, or inputs with `dim=1`."""

    def kill(layer: nn.Module, channels: list[int], dim: int = 0) -> None:
        with torch.no_grad():
            layer.weight.index_fill_(dim, torch.tensor(channels, dtype=torch.long), 0)

    return kill


@pytest.fixture
def prune() -> Callable[..., nn.Module]:
    """Projects the weights of the layers whose name contains one of `only` on `Channel(sparsity)`."""

    def prune(model: nn.Module, sparsity: float = 0.5, only: tuple[str, ...] = ("",), skip: str = "-") -> nn.Module:
        with torch.no_grad():
            for name, module in model.named_modules():
                if (
                    isinstance(module, (nn.Conv2d, nn.Linear))
                    and skip not in name
                    and any(part in name for part in only)
                ):
                    module.weight.copy_(Channel(sparsity).project(module.weight))
        return model

    return prune


Shrunk = Callable[..., tuple[nn.Module, ShrinkReport]]


@pytest.fixture
def shrunk() -> Shrunk:
    """Calls shrink; checks that the original is as it was, the names are the same, and so are the outputs elsewhere."""

    def shrunk(model: nn.Module, example: object, *others: object) -> tuple[nn.Module, ShrinkReport]:
        before = copy.deepcopy(model.state_dict())
        smaller, report = shrink(model, example)
        after = model.state_dict()
        assert before.keys() == after.keys() == smaller.state_dict().keys()
        assert all(torch.equal(before[name], after[name]) for name in before)
        assert report.shapes == {name: tuple(tensor.shape) for name, tensor in smaller.state_dict().items()}
        assert report.relative_difference < 1e-5
        for other in others:
            assert difference(model, smaller, other) < 1e-5
        return smaller, report

    return shrunk


def difference(model: nn.Module, smaller: nn.Module, inputs: object) -> float:
    """Of the outputs in eval mode, in float32, relative to the largest; our own few lines, not the library's."""
    outputs = []
    for each in (model, smaller):
        each = copy.deepcopy(each).eval()
        with torch.no_grad():
            outputs.append(each(**inputs) if isinstance(inputs, dict) else each(inputs))
    a, b = (output if isinstance(output, torch.Tensor) else output[0] for output in outputs)
    assert a.shape == b.shape
    return float((a - b).abs().max() / a.abs().max())
