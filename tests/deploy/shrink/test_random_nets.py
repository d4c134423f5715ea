"""Random small networks with random channels of zeros: the outputs stay, and every dead channel goes or is named."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from slrprune.deploy.shrink import ShrinkReport, shrink


class Chain(nn.Module):
    """Convolution, BatchNorm, activation, convolution."""

    def __init__(self, width: int, padding: int, bias: bool) -> None:
        super().__init__()
        self.conv1, self.norm = nn.Conv2d(4, width, 3, padding=padding, bias=bias), nn.BatchNorm2d(width)
        self.act = nn.GELU()
        self.conv2 = nn.Conv2d(width, 4, 3, padding=padding, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.act(self.norm(self.conv1(x))))


class Residual(nn.Module):
    """Adds a chain to a 1x1 convolution."""

    def __init__(self, width: int, padding: int, bias: bool) -> None:
        super().__init__()
        self.chain, self.shortcut, self.norm = Chain(width, 1, bias), nn.Conv2d(4, 4, 1, bias=bias), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm(self.chain(x)) + self.shortcut(x))


class Concat(nn.Module):
    """Two convolutions side by side, and one that reads both."""

    def __init__(self, width: int, padding: int, bias: bool) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(4, width, 1, bias=bias), nn.Conv2d(4, 3, 3, padding=1, bias=bias)
        self.norm, self.last = nn.BatchNorm2d(width + 3), nn.Conv2d(width + 3, 4, 3, padding=padding, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.norm(torch.cat([self.left(x), self.right(x)], 1))))


class Separable(nn.Module):
    """Expansion, depthwise convolution, projection, each with BatchNorm."""

    def __init__(self, width: int, padding: int, bias: bool) -> None:
        super().__init__()
        self.expand, self.norm1 = nn.Conv2d(4, width, 1, bias=bias), nn.BatchNorm2d(width)
        self.depthwise = nn.Conv2d(width, width, 3, padding=padding, groups=width, bias=bias)
        self.norm2, self.project, self.norm3 = nn.BatchNorm2d(width), nn.Conv2d(width, 4, 1), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.relu6(self.norm1(self.expand(x)))
        return self.norm3(self.project(nn.functional.relu6(self.norm2(self.depthwise(x)))))


class Grouped(nn.Module):
    """A grouped convolution between two others."""

    def __init__(self, width: int, padding: int, bias: bool) -> None:
        super().__init__()
        self.before = nn.Conv2d(4, 2 * width, 1, bias=bias)
        self.grouped = nn.Conv2d(2 * width, 2 * width, 3, padding=padding, groups=2, bias=bias)
        self.after = nn.Conv2d(2 * width, 4, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.after(torch.relu(self.grouped(torch.relu(self.before(x)))))


BLOCKS = (Chain, Residual, Concat, Separable, Grouped)


@st.composite
def networks(draw: st.DrawFn) -> nn.Module:
    """Two blocks and a linear layer, with the BatchNorm values of a trained net, and zeros in about a third."""
    torch.manual_seed(draw(st.integers(0, 2**16)))
    parts = [
        draw(st.sampled_from(BLOCKS))(draw(st.integers(2, 5)), draw(st.sampled_from([0, 1])), draw(st.booleans()))
        for _ in range(2)
    ]
    model = nn.Sequential(nn.Conv2d(3, 4, 1), *parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
                module.weight.normal_()
                module.bias.normal_()
            elif isinstance(module, (nn.Conv2d, nn.Linear)):
                module.weight[1:][torch.rand(len(module.weight) - 1) < 0.35] = 0
                if module.weight.shape[1] > 1:
                    module.weight[:, 1:][:, torch.rand(module.weight.shape[1] - 1) < 0.15] = 0
    return model.eval()


@settings(max_examples=40)
@given(model=networks())
def test_outputs_stay_and_nothing_dead_goes_unnamed(model: nn.Module) -> None:
    smaller, report = shrink(model, torch.randn(2, 3, 9, 9))
    with torch.no_grad():
        for images in (torch.randn(3, 3, 9, 9), torch.randn(1, 3, 12, 15)):
            expected, got = model(images), smaller(images)
            assert (expected - got).abs().max() <= 1e-5 * expected.abs().max()
    assert dead_outputs(smaller) == named_outputs(report)
    assert report.parameters_after == sum(parameter.numel() for parameter in smaller.parameters())


def dead_outputs(model: nn.Module) -> dict[str, int]:
    """How many filters of zeros there are, by layer."""
    dead = {
        name: int((module.weight.flatten(1) == 0).all(1).sum())
        for name, module in model.named_modules()
        if isinstance(module, (nn.Conv2d, nn.Linear))
    }
    return {name: count for name, count in dead.items() if count}


def named_outputs(report: ShrinkReport) -> dict[str, int]:
    """How many of them the report names."""
    named: dict[str, int] = {}
    for left in report.leftovers:
        if left.side == "outputs":
            named[left.name] = named.get(left.name, 0) + len(left.channels)
    return named
