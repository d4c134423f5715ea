"""Dense torch: as it is, in the other memory format, in bfloat16."""

import copy

import torch
from torch import Tensor, nn

from slrprune.deploy.accelerate.candidates.base import Candidate, finished
from slrprune.deploy.accelerate.layer import Layer, Layout


class Dense(Candidate):
    """The layer itself, its weight in the layout of the images. What all others are compared with."""

    name = "dense"

    def obstacle(self, layer: Layer) -> str:
        """None: every layer can."""
        return ""

    def build(self, layer: Layer) -> nn.Module:
        """The layer itself where the layout is contiguous, otherwise a copy with its weight in the layout."""
        return finished(_in_layout(layer.module, layer.layout), layer.relu)


class DenseConverted(Candidate):
    """A dense convolution in the layout that the other layers do not use."""

    name = "dense, other layout"

    def obstacle(self, layer: Layer) -> str:
        """Only convolutions of batches have two layouts."""
        if isinstance(layer.module, nn.Linear) or any(len(call.shape) != 4 for call in layer.calls):
            return "only convolutions of batches of images have a memory format"
        return ""

    def build(self, layer: Layer) -> nn.Module:
        """The convolution behind a conversion, and before one where all images are contiguous."""
        inner = finished(_in_layout(layer.module, layer.layout.other), layer.relu)
        return _Converted(inner, layer.layout)


class _Converted(nn.Module):
    def __init__(self, layer: nn.Module, layout: Layout) -> None:
        super().__init__()
        self.layer, self.layout = layer, layout

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(self.layout.other.of(x))
        return self.layout.of(y) if self.layout is Layout.CONTIGUOUS else y


class DenseBfloat16(Candidate):
    """The layer in bfloat16, with its input and output as they were; rounds to 8 bits."""

    name = "dense bf16"

    def obstacle(self, layer: Layer) -> str:
        """Only float32 has something to round."""
        kind = layer.module.weight.dtype
        return "" if kind is torch.float32 else f"the layer is in {kind}"

    def build(self, layer: Layer) -> nn.Module:
        """The layer between two conversions."""
        inner = copy.deepcopy(_in_layout(layer.module, layer.layout)).to(torch.bfloat16)
        return _Bfloat16(finished(inner, layer.relu))


class _Bfloat16(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x.to(torch.bfloat16))
        return y.to(x.dtype)


def _in_layout(module: nn.Linear | nn.Conv2d, layout: Layout) -> nn.Module:
    if isinstance(module, nn.Linear) or layout is Layout.CONTIGUOUS:
        return module
    result = copy.deepcopy(module)
    result.weight = nn.Parameter(module.weight.to(memory_format=torch.channels_last), requires_grad=False)
    return result
