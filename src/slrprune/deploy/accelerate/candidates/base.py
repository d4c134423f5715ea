"""What a candidate is: one way to compute a layer."""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from slrprune.deploy.accelerate.layer import Layer


class Candidate(ABC):
    """One way to compute a linear or convolution layer; a concrete class has no state but its settings."""

    name: ClassVar[str]
    """In reports and in saved choices; stable."""

    @abstractmethod
    def obstacle(self, layer: Layer) -> str:
        """Why it cannot compute this layer here, or need not be tried; empty if it is worth measuring."""

    @abstractmethod
    def build(self, layer: Layer) -> nn.Module:
        """The replacement, which computes what the layer and its ReLU do.

        Where the layout of the model is contiguous, it returns contiguous images.

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


def finished(layer: nn.Module, relu: bool) -> nn.Module:
    """The layer with ReLU behind it where asked."""
    return WithReLU(layer) if relu else layer
