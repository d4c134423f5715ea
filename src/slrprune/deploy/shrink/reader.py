"""What one layer can do without some of its inputs: not care, take a constant into its bias, or neither."""

import math

from slrprune.deploy.shrink.findings import Reading
from slrprune.deploy.shrink.kinds import Weighted, blocks, breaks_constants, live_connections


class Reader:
    """A layer as the reader of channels.

    Args:
        name: of the layer.
        layer: the layer itself.
        reading: what it found in its inputs; None where it was not called.
        norm: the BatchNorm that can take a constant for it, see `Coupling.norm_after`.
    """

    def __init__(self, name: str, layer: Weighted, reading: Reading | None, norm: str | None) -> None:
        self.name = name
        self.norm = norm if layer.bias is None else None
        self.can_shift = (layer.bias is not None or self.norm is not None) and not breaks_constants(layer)
        self.can_merge = blocks(layer) == 1
        self._why_no_shift = "has neither bias nor BatchNorm" if not breaks_constants(layer) else "pads with zeros"
        self._unread = (~live_connections(layer).any(0)).tolist()
        if reading is None:  # never called, so that nothing is known
            self._depends, self._values = [True] * len(self._unread), [math.nan] * len(self._unread)
        else:
            self._depends, self._values = reading.depends.tolist(), reading.constants().tolist()

    def objection(self, index: int) -> str:
        """Why it cannot do without this input; empty if it can."""
        if self._unread[index]:
            return ""
        if self._depends[index]:
            return f"{self.name} reads it, and finds values that depend on the model's input or on padding"
        if math.isnan(self._values[index]):
            return f"{self.name} reads a constant that differs between positions"
        if self._values[index] and not self.can_shift and not self.can_merge:
            return f"{self.name} reads a constant other than zero, is a grouped convolution and {self._why_no_shift}"
        return ""

    def depends(self, index: int) -> bool:
        """Whether it reads this input, and what it reads depends on the model's input."""
        return self._depends[index] and not self._unread[index]

    def constant(self, index: int) -> float:
        """The value of an input, NaN if it has none."""
        return self._values[index]

    def contribution(self, index: int) -> float:
        """The constant that is missed where this input goes; 0 where nothing is."""
        return 0.0 if self._unread[index] else self._values[index]

    def carrier_reason(self) -> str:
        """Why one constant input has to stay."""
        return f"{self.name} reads a constant there and {self._why_no_shift}: such a channel stays for others"
