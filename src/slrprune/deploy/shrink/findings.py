"""What the passes of probe.py find out, layer by layer."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

ROUNDING = 1000.0
"""Two values of a constant may differ by this many roundings: vector units and scalar code round differently."""


@dataclass
class Reading:
    """What a layer found in each of its input channels, over all positions and calls.

    Attributes:
        depends: bool, True where the value depends on the model's input.
        low: smallest value of each channel; NaN where the value depends on the input.
        high: largest value.
    """

    depends: Tensor
    low: Tensor
    high: Tensor

    def widen(self, other: "Reading") -> None:
        """Takes in the values that another call, or a pass on other inputs, found."""
        self.depends = self.depends | other.depends
        self.low = torch.minimum(self.low, other.low)
        self.high = torch.maximum(self.high, other.high)

    def constants(self) -> Tensor:
        """The value of each channel; NaN where it depends on the input, or differs between positions."""
        rounding = ROUNDING * torch.finfo(self.low.dtype).eps
        scale = torch.maximum(self.low.abs(), self.high.abs())
        # Halfway between the extremes: exactly zero if both are.
        middle = self.low + (self.high - self.low) / 2
        return torch.where(self.high - self.low <= rounding * scale, middle, torch.nan)


@dataclass
class Findings:
    """What a pass on NaN showed.

    Attributes:
        readings: by name of the layer.
        path: names of all modules called, in order.
        output_depends: whether anything in the model's output depends on its input.
    """

    readings: dict[str, Reading] = field(default_factory=dict)
    path: list[str] = field(default_factory=list)
    output_depends: bool = False

    def widen(self, other: "Findings") -> None:
        """Takes in what a pass on other inputs found; the path stays."""
        for name, reading in other.readings.items():
            self.readings.setdefault(name, reading).widen(reading)
        self.output_depends = self.output_depends or other.output_depends
