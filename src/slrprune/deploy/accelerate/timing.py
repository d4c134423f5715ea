"""Measuring on a machine that does other things too: interleaved rounds, and their median."""

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import torch

from slrprune.errors import ArgumentError

Functions = Mapping[str, Callable[[], object]]
Samples = Mapping[str, Sequence[float]]

_SAMPLE = 0.002
"""Seconds that one sample should last at least, so that the clock's own cost does not count."""
_MOST_SECONDS = 10.0
"""For one comparison; fewer rounds are made where these would take longer."""
_FEWEST_ROUNDS = 5
_MOST_ROUNDS = 0.75
_HOPELESS = 2.5
"""Who takes so many times as long as the fastest, in the best of three calls, is not measured further."""


class Timer(Protocol):
    """Measures functions side by side."""

    def __call__(self, what: str, functions: Functions) -> Samples:
        """Seconds per call, one or more samples for each function.

        Args:
            what: which layer, or "total"; for timers that report or invent times.
            functions: by name; each is to be called without arguments.
        """


class InterleavedTimer:
    """Wall-clock times in rounds: each round runs every function once, and each begins with another one.

    What slows the machine down for a while then hits all of them alike, and the median passes over it.

    Args:
        rounds: how many; at least 1.
    """

    def __init__(self, rounds: int = 15) -> None:
        if rounds < 1:
            raise ArgumentError("InterleavedTimer", "rounds", rounds, "must be at least 1")
        self.rounds = rounds

    def __call__(self, what: str, functions: Functions) -> Samples:
        """Seconds per call and round; a single value for those that are far slower than the fastest."""
        best = {name: min(_seconds(function, 1) for _ in range(3)) for name, function in functions.items()}
        limit = _HOPELESS * min(best.values(), default=0.0)
        samples = {name: [seconds] if seconds > limit else [] for name, seconds in best.items()}
        racing = [name for name, seconds in best.items() if seconds <= limit]
        repeats = {name: max(1, math.ceil(_SAMPLE / max(best[name], 1e-9))) for name in racing}
        each_round = sum(repeats[name] * best[name] for name in racing)
        fewest = min(_FEWEST_ROUNDS, self.rounds)
        rounds = min(self.rounds, max(fewest, int(_MOST_SECONDS / max(each_round, 1e-9))))
        for turn in range(rounds):
            first = turn % len(racing) if racing else 0
            for name in racing[first:] + racing[:first]:
                samples[name].append(_seconds(functions[name], repeats[name]))
        return samples


def medians(samples: Samples) -> dict[str, float]:
    """The median of each function's samples, in seconds."""
    return {name: statistics.median(values) for name, values in samples.items()}


def is_faster(samples: Samples, name: str, than: str, margin: float) -> bool:
    """Whether a function is clearly faster than another.

    Args:
        samples: of both, round by round.
        name: the one.
        than: the other.
        margin: fraction of the other's median time that it must save, in [0, 1).

    Returns:
        True if it saves that much, and is not slower in at least three quarters of the rounds: with 15 rounds, two
        equally fast functions would get there in 2 of 100 cases.
    """
    rounds = list(zip(samples[name], samples[than], strict=False))  # one that is far slower has a single sample
    not_slower = sum(mine <= its for mine, its in rounds)
    mine, its = statistics.median(samples[name]), statistics.median(samples[than])
    return mine <= (1 - margin) * its and not_slower >= _MOST_ROUNDS * len(rounds)


def _seconds(function: Callable[[], object], repeats: int) -> float:
    _wait()
    start = time.perf_counter()
    for _ in range(repeats):
        function()
    _wait()
    return (time.perf_counter() - start) / repeats


def _wait() -> None:
    """Until the accelerator is done, where one is in use."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.synchronize()
