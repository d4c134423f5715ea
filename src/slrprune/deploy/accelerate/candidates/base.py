"""What a candidate is: one way to compute a layer."""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from slrprune.deploy.accelerate.layer import Layer, Layout


class Candidate(ABC):
    """One way to compute a linear or convolution layer; a concrete class has no state but its settings."""

    name: ClassVar[str]
    """In reports and in saved choices; stable."""

    @abstractmethod
    def obstacle(self, layer: Layer) -> str:
        """Why it cannot compute this layer here, or need not be tried; empty if it is worth measuring."""

    @abstractmethod
    def build(self, layer: Layer) -> nn.Module:
        """The replacement: computes what the layer and its ReLU do, and returns images in the layer's layout.

        Args:
            layer: one without an obstacle. Its module is not changed, but its tensors may be shared.
        """


class WithReLU(nn.Module):
    """A layer, then ReLU in place.

    Args:
        layer: any module that returns a tensor of its own.
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """What the layer returns, without negative numbers."""
        y: Tensor = self.layer(x)
        return y.relu_()


class InLayout(nn.Module):
    """A layer with a change of the memory format before or behind it, which costs time and is measured with it.

    Args:
        layer: takes and returns images.
        outside: the layout of what is returned.
        inside: the layout that the layer gets; None leaves its input as it comes.
    """

    def __init__(self, layer: nn.Module, outside: Layout, inside: Layout | None = None) -> None:
        super().__init__()
        self.layer, self.outside, self.inside = layer, outside, inside

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in, height, width) to (batch, out, height', width')."""
        y: Tensor = self.layer(x if self.inside is None else self.inside.of(x))
        return self.outside.of(y)


def finished(layer: nn.Module, relu: bool) -> nn.Module:
    """The layer with ReLU behind it where asked."""
    return WithReLU(layer) if relu else layer
