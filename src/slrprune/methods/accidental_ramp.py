"""The penalty coefficient that the published code had by accident, as schedules of their own.

In the authors' public code the scaled multipliers U stay attached to the weights W, so that the penalty
rho/2 ||W - Z + U||^2 is differentiated through U as well. Every multiplier update thus adds to the gradient's factor,
and the pull towards Z grows during the run although rho is said to be constant: by the sum of all stepsizes for SLR, by
one rho per update for ADMM. Part of the published lead of SLR over ADMM may come from there, since the two grow
unequally. These schedules give the clean methods the same pull, so that the lead can be measured with and without it.

They reproduce the strength of the pull. The leak left the multipliers' own scale alone, whereas here everything sees
the rho of the moment, as under every other `Penalty`.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

from slrprune.errors import ArgumentError
from slrprune.methods.schedule import Penalty
from slrprune.methods.stepsize import DecayingStepsize


@dataclass(frozen=True)
class LeakedSteps(Penalty):
    """The accidental ramp of SLR: rho(t) = rho + s_1 + ... + s_k with k = floor(n t) and s_k = alpha_k s_(k-1).

    The stepsizes are those of the published rule without its norm ratio (`alpha`), which the same code held at 1 by
    another accident.

    Args:
        rho: what the authors call rho, positive.
        s0: the first stepsize, in (0, 1].
        M: > 1, see `alpha`.
        r: in (0, 1), see `alpha`.
        half_steps: n, multiplier half-steps of the published run: two an epoch, 100 epochs. A run of another length
            passes through the same ramp.

    Examples:
        >>> [round(LeakedSteps().at(t), 2) for t in (0.0, 0.5, 1.0)]
        [0.1, 1.03, 1.9]
    """

    rho: float = 0.1
    s0: float = 0.01
    M: float = 300.0
    r: float = 0.1
    half_steps: int = 200

    def __post_init__(self) -> None:
        _check("LeakedSteps", self.rho, "half_steps", self.half_steps)
        DecayingStepsize(self.s0, self.M, self.r)  # checks the three

    def at(self, time: float) -> float:
        """See the class."""
        return self.rho + _sums(self.s0, self.M, self.r, self.half_steps)[_whole(self.half_steps, time)]


@dataclass(frozen=True)
class LeakedUpdates(Penalty):
    """The accidental ramp of ADMM: rho(t) = rho (1 + floor(n t)).

    Args:
        rho: what the authors call rho, positive.
        updates: n, multiplier updates of the published run: one in ten epochs in the first version, 100 epochs.

    Examples:
        >>> [round(LeakedUpdates().at(t), 2) for t in (0.0, 0.55, 1.0)]
        [0.1, 0.6, 1.1]
    """

    rho: float = 0.1
    updates: int = 10

    def __post_init__(self) -> None:
        _check("LeakedUpdates", self.rho, "updates", self.updates)

    def at(self, time: float) -> float:
        """See the class."""
        return self.rho * (1 + _whole(self.updates, time))


def _whole(count: int, time: float) -> int:
    """floor(count * time), at most count, whatever the last bit of a quotient like 7 / 12 says."""
    return int(count * min(1.0, time) + 1e-9)


@lru_cache(maxsize=8)
def _sums(s0: float, M: float, r: float, count: int) -> tuple[float, ...]:
    """0, s_1, s_1 + s_2, and so on: `count` + 1 sums."""
    rule = DecayingStepsize(s0, M, r)
    steps = list(accumulate(range(1, count + 1), lambda s, k: rule.next(s, k, 0.0), initial=s0))
    return tuple(accumulate(steps[1:], initial=0.0))


def _check(owner: str, rho: float, name: str, count: int) -> None:
    if not rho > 0:
        raise ArgumentError(owner, "rho", rho, "must be positive")
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ArgumentError(owner, name, count, "must be a whole number of at least 1")
