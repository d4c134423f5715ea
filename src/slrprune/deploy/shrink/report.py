"""What shrink did: layer by layer, in numbers, and what it had to leave."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Side = Literal["outputs", "inputs"]


@dataclass(frozen=True)
class LayerCut:
    """What one layer lost.

    Attributes:
        name: of the layer.
        outputs: indices of the outputs that went, as the original model numbers them.
        inputs: the same for inputs.
        shape: of its weight (or its only tensor) now.
    """

    name: str
    outputs: tuple[int, ...]
    inputs: tuple[int, ...]
    shape: tuple[int, ...]

    def __str__(self) -> str:
        """One line for people."""
        lost = [f"{len(gone)} {side}" for gone, side in ((self.outputs, "outputs"), (self.inputs, "inputs")) if gone]
        return f"{self.name}: {' and '.join(lost)} removed, now {list(self.shape)}"


@dataclass(frozen=True)
class Leftover:
    """Channels of one layer that are all zero and stayed.

    Attributes:
        name: of the layer.
        side: "outputs" (filters, neurons: zero rows) or "inputs" (zero columns).
        channels: their indices, as the original model numbers them.
        reason: why they stayed.
    """

    name: str
    side: Side
    channels: tuple[int, ...]
    reason: str

    def __str__(self) -> str:
        """One line for people."""
        return f"{self.name}: {len(self.channels)} {self.side}: {self.reason}"


@dataclass(frozen=True)
class ShrinkReport:
    """What `shrink` removed, and what it left.

    Attributes:
        layers: the layers that lost something, in the model's order.
        leftovers: what is all zero and stayed, with the reason.
        parameters_before: number of parameters of the original model, shared ones counted once.
        parameters_after: the same of the new model.
        macs_before: multiply-accumulates of convolutions and linear layers in one pass over the example.
        macs_after: the same of the new model.
        relative_difference: the largest difference of the outputs on the example, relative to the largest output.
        shapes: shape of every tensor in the new model's state dict, by name.
    """

    layers: tuple[LayerCut, ...]
    leftovers: tuple[Leftover, ...]
    parameters_before: int
    parameters_after: int
    macs_before: int
    macs_after: int
    relative_difference: float
    shapes: Mapping[str, tuple[int, ...]]

    def __str__(self) -> str:
        """A few lines for people."""
        lines = [self._headline()]
        # What BatchNorm lost follows from the layer before it.
        lines += [f"  {layer}" for layer in self.layers if len(layer.shape) > 1]
        if self.leftovers:
            lines += ["All zero, and still there:", *(f"  {left}" for left in self.leftovers)]
        return "\n".join(lines)

    def _headline(self) -> str:
        if not self.layers:
            return "Nothing could be removed: the model is as it was."
        parameters = f"{self.parameters_before:,} -> {self.parameters_after:,} parameters"
        macs = f"{self.macs_before:,} -> {self.macs_after:,} multiply-accumulates"
        return f"{parameters}, {macs}; outputs differ by {self.relative_difference:.1e} relative"
