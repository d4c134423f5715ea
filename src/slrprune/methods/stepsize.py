"""Stepsizes of the multipliers.

The published rule needs the norms of two successive residuals (`alpha` with `ratio`, used by `ClassicSLR`). The
feasible-start form needs only a relative stepsize sigma in (0, 1], a function of the update number and the time.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import cos, pi

import torch
from torch import Tensor

from slrprune.errors import ArgumentError


def alpha(iteration: Tensor, M: float, r: float) -> Tensor:
    """alpha_k = 1 - 1 / (M k^(1 - 1/k^r)), docs/theory.md eq. 12.

    Args:
        iteration: k >= 1, any shape, floating.
        M: > 1.
        r: in (0, 1).

    Returns:
        alpha_k in (0, 1), shape of `iteration`.

    Examples:
        >>> alpha(torch.tensor([1.0, 100.0]), M=300, r=0.1)
        tensor([0.9967, 0.9994])

    Reference:
        Bragin et al., JOTA 164 (2015), the stepsizing rule; Gurevin et al., IJCAI 2021.
    """
    return 1 - 1 / (M * iteration ** (1 - iteration ** (-r)))


def check_alpha(owner: str, M: float, r: float) -> None:
    """Raises `ArgumentError` unless M > 1 and 0 < r < 1."""
    if not M > 1:
        raise ArgumentError(owner, "M", M, "must be above 1")
    if not 0 < r < 1:
        raise ArgumentError(owner, "r", r, "must be in (0, 1)")


class RelativeStepsize(ABC):
    """sigma_k, the stepsize of the scaled multipliers relative to rho."""

    @abstractmethod
    def next(self, current: float, iteration: int, time: float) -> float:
        """sigma of update k.

        Args:
            current: sigma of update k - 1; `first` before any update.
            iteration: k >= 1.
            time: fraction of the run, in [0, 1].
        """

    @property
    @abstractmethod
    def first(self) -> float:
        """sigma before any update."""


@dataclass(frozen=True)
class ConstantStepsize(RelativeStepsize):
    """The same sigma throughout.

    Args:
        sigma: in (0, 1]; 1 is ADMM's unit step, and that of dynamic pruning with feedback.
    """

    sigma: float

    def __post_init__(self) -> None:
        _check_sigma("ConstantStepsize", "sigma", self.sigma)

    @property
    def first(self) -> float:
        """sigma."""
        return self.sigma

    def next(self, current: float, iteration: int, time: float) -> float:
        """sigma."""
        return self.sigma


@dataclass(frozen=True)
class DecayingStepsize(RelativeStepsize):
    """sigma_k = alpha_k sigma_{k-1}: the surrogate rule without the norm ratio (docs/theory.md, eq. 17).

    Args:
        initial: sigma_0 in (0, 1].
        M: > 1; larger decays slower.
        r: in (0, 1).
    """

    initial: float = 1.0
    M: float = 200.0
    r: float = 0.1

    def __post_init__(self) -> None:
        _check_sigma("DecayingStepsize", "initial", self.initial)
        check_alpha("DecayingStepsize", self.M, self.r)

    @property
    def first(self) -> float:
        """sigma_0."""
        return self.initial

    def next(self, current: float, iteration: int, time: float) -> float:
        """alpha_k times the sigma before."""
        k = float(iteration)
        return float(current * (1 - 1 / (self.M * k ** (1 - k**-self.r))))


@dataclass(frozen=True)
class CosineStepsize(RelativeStepsize):
    """sigma falls from `initial` to `final` over the run along half a cosine.

    Args:
        initial: sigma at the beginning, in (0, 1].
        final: sigma at the end, in (0, 1].
    """

    initial: float = 1.0
    final: float = 0.1

    def __post_init__(self) -> None:
        _check_sigma("CosineStepsize", "initial", self.initial)
        _check_sigma("CosineStepsize", "final", self.final)

    @property
    def first(self) -> float:
        """The initial sigma."""
        return self.initial

    def next(self, current: float, iteration: int, time: float) -> float:
        """See the class."""
        return self.final + (self.initial - self.final) * (1 + cos(pi * min(1.0, time))) / 2


def as_stepsize(sigma: RelativeStepsize | float) -> RelativeStepsize:
    """A number means a constant sigma."""
    return sigma if isinstance(sigma, RelativeStepsize) else ConstantStepsize(float(sigma))


def check_stepsize(owner: str, sigma: RelativeStepsize | float) -> None:
    """Refuses a number outside (0, 1] in the name of the class that got it; a rule has looked at its own.

    Raises:
        ArgumentError: such a number.
    """
    if not isinstance(sigma, RelativeStepsize):
        _check_sigma(owner, "sigma", sigma)


def ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """numerator / denominator, and 1 where either is zero.

    Without a residual there is nothing to compare with. A quotient of 0 would also hold the stepsize at 0 for ever,
    and a ramp that starts dense has residual 0 at its first updates.
    """
    defined = (denominator > 0) & (numerator > 0)
    return torch.where(defined, numerator / torch.where(defined, denominator, 1.0), 1.0)


def _check_sigma(owner: str, argument: str, sigma: float) -> None:
    if isinstance(sigma, str) or not 0 < sigma <= 1:
        way_out = "1 is ADMM's unit step; smaller is more careful, and slower."
        raise ArgumentError(owner, argument, sigma, "must be in (0, 1]", way_out)
