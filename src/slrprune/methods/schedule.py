"""How a quantity moves over a run: the sparsity ramp that all methods share, and the penalty coefficient rho.

Times are fractions of the run, so that one setting serves short and long runs.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor

from slrprune.errors import ArgumentError


class Ramp(ABC):
    """How far the constraint has been tightened at each time of the run."""

    @property
    @abstractmethod
    def end(self) -> float:
        """The time, in [0, 1], from which `progress` is 1."""

    @abstractmethod
    def progress(self, time: float) -> float:
        """Fraction of the target that is asked at `time`, non-decreasing, 1 from `end` on.

        Args:
            time: optimizer steps seen over planned, in [0, 1].
        """

    def relaxation(self, time: float) -> float:
        """beta in [0, 1): the share at which entries off the support still take part; 0 unless a path relaxes."""
        return 0.0


@dataclass(frozen=True)
class NoRamp(Ramp):
    """The whole target from the first update on, as the paper has it."""

    @property
    def end(self) -> float:
        """0: there is nothing to wait for."""
        return 0.0

    def progress(self, time: float) -> float:
        """Always 1."""
        return 1.0


@dataclass(frozen=True)
class CubicRamp(Ramp):
    """progress = 1 - (1 - (t - begin) / (end - begin))^3, from 0 at `begin` to 1 at `end` (docs/theory.md, eq. 19).

    Args:
        begin: time at which pruning starts, in [0, 1).
        end: time at which the target is reached, in (begin, 1].

    Examples:
        >>> [round(CubicRamp(0.0, 0.5).progress(t), 3) for t in (0.0, 0.25, 0.5, 1.0)]
        [0.0, 0.875, 1.0, 1.0]

    Reference:
        Zhu and Gupta, "To prune, or not to prune", arXiv 1710.01878, eq. 1.
    """

    begin: float = 0.0
    end: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.begin < 1:
            raise ArgumentError("CubicRamp", "begin", self.begin, "must be in [0, 1)")
        if not self.begin < self.end <= 1:
            raise ArgumentError("CubicRamp", "end", self.end, f"must be in ({self.begin}, 1]")

    def progress(self, time: float) -> float:
        """See the class."""
        if time >= self.end:
            return 1.0
        left = 1 - max(0.0, time - self.begin) / (self.end - self.begin)
        return 1 - left**3


@dataclass(frozen=True)
class RelaxedPath(Ramp):
    """The whole target from the first update on, with the entries off the support faded out instead of cut.

    The network computes with M V + beta (1 - M) V, the relaxed projection, and beta falls from 1 at `begin` to 0 at
    `end` as (1 - (t - begin) / (end - begin))^power: a continuation from the dense net to the feasible point
    (docs/theory.md, eq. 20). Before `end` the model is not sparse yet.

    With `slack`, the path has a clock of its own in place of t. It stands still at updates where surrogate condition 1
    fails, that is, where the loss is not coming down, and is never more than `slack` behind the run (eq. 23).

    Args:
        begin: time at which the fading starts, in [0, 1).
        end: time at which the model is sparse, in (begin, 1].
        power: at least 1; 2 as measured.
        slack: longest that the condition may hold the path back, in [0, 1 - end]; at 0 it has no say.

    Reference:
        The relaxed projection is that of ISS-P (iterative soft shrinkage), used there at a constant share.
    """

    begin: float = 0.0
    end: float = 0.5
    power: float = 2.0
    slack: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.begin < 1:
            raise ArgumentError("RelaxedPath", "begin", self.begin, "must be in [0, 1)")
        if not self.begin < self.end <= 1:
            raise ArgumentError("RelaxedPath", "end", self.end, f"must be in ({self.begin}, 1]")
        if not self.power >= 1:
            raise ArgumentError("RelaxedPath", "power", self.power, "must be at least 1")
        if not 0 <= self.slack <= 1 - self.end:
            raise ArgumentError("RelaxedPath", "slack", self.slack, f"must be in [0, {1 - self.end:g}]")

    def progress(self, time: float) -> float:
        """Always 1: the target holds from the first update on."""
        return 1.0

    def relaxation(self, time: float) -> float:
        """See the class."""
        if time >= self.end:
            return 0.0
        return float((1 - max(0.0, time - self.begin) / (self.end - self.begin)) ** self.power)

    def relaxation_at(self, clock: Tensor) -> Tensor:
        """beta where the path has a clock of its own: 0-dim and on the clock's device, like the clock."""
        gone = (clock - self.begin).clamp(min=0) / (self.end - self.begin)
        return (1 - gone).clamp(min=0) ** self.power


class Penalty(ABC):
    """The penalty coefficient rho over the run; the penalty term is rho/2 ||W - Z||^2."""

    @abstractmethod
    def at(self, time: float) -> float:
        """rho at `time` in [0, 1]; positive."""


@dataclass(frozen=True)
class ConstantPenalty(Penalty):
    """The same rho throughout, as published.

    Args:
        rho: positive.
    """

    rho: float

    def __post_init__(self) -> None:
        if not self.rho > 0:
            raise ArgumentError("ConstantPenalty", "rho", self.rho, "must be positive")

    def at(self, time: float) -> float:
        """rho."""
        return self.rho


@dataclass(frozen=True)
class GeometricPenalty(Penalty):
    """rho grows geometrically from `first` to `last`: first * (last / first)^t.

    Args:
        first: rho at the beginning, positive.
        last: rho at the end, positive.
    """

    first: float
    last: float

    def __post_init__(self) -> None:
        for name, value in (("first", self.first), ("last", self.last)):
            if not value > 0:
                raise ArgumentError("GeometricPenalty", name, value, "must be positive")

    def at(self, time: float) -> float:
        """See the class."""
        return float(self.first * (self.last / self.first) ** min(1.0, time))


def as_penalty(penalty: Penalty | float) -> Penalty:
    """A number means a constant rho."""
    return penalty if isinstance(penalty, Penalty) else ConstantPenalty(float(penalty))
