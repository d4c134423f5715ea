"""Means, standard deviations and paired differences of a few runs."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist, fmean, stdev
from typing import NamedTuple, TypeVar

from slrprune.errors import ArgumentError

# Student's t, quantile 0.975, for 1 to 30 degrees of freedom.
_T_975 = (
    *(12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281),
    *(2.2010, 2.1788, 2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860),
    *(2.0796, 2.0739, 2.0687, 2.0639, 2.0595, 2.0555, 2.0518, 2.0484, 2.0452, 2.0423),
)


class Trial(NamedTuple):
    """What two runs must share to make a pair.

    Attributes:
        seed: of the run.
        fold: of a cross-validation; None outside of one.
    """

    seed: int
    fold: int | None = None


Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Summary:
    """Mean and sample standard deviation (n - 1 in the denominator); `std` is None for one value."""

    mean: float
    std: float | None
    count: int


@dataclass(frozen=True)
class PairedDifference:
    """Mean of the differences over pairs, with its 95% t interval.

    Attributes:
        mean: positive where the first is larger.
        low: lower end of the interval; None for one observation, which has no interval.
        high: upper end, likewise.
        count: observations from which the interval is taken: pairs, or folds where there are several.
    """

    mean: float
    low: float | None
    high: float | None
    count: int


def summarize(values: Sequence[float]) -> Summary:
    """Mean and standard deviation of at least one value.

    Examples:
        >>> summarize([1.0, 2.0, 3.0])
        Summary(mean=2.0, std=1.0, count=3)
    """
    if not values:
        raise ArgumentError("summarize", "values", values, "must hold at least one")
    return Summary(fmean(values), stdev(values) if len(values) > 1 else None, len(values))


def paired_difference(first: Mapping[Key, float], second: Mapping[Key, float]) -> PairedDifference | None:
    """first - second, pair by pair; None without a common key.

    Keys are whatever makes two runs a pair: seeds, or `Trial`s. Runs of one fold of a cross-validation share their test
    images, so that they are no independent observations: with several folds the differences are averaged within each
    fold, and the interval is that of the folds' means.

    Args:
        first: key to value.
        second: key to value; keys of only one side do not count.

    Examples:
        >>> difference = paired_difference({0: 3.0, 1: 5.0}, {0: 1.0, 1: 1.0, 2: 9.0})
        >>> f"{difference.mean} [{difference.low:.2f}, {difference.high:.2f}]"
        '3.0 [-9.71, 15.71]'

    Reference:
        T. Dietterich, "Approximate statistical tests for comparing supervised classification learning algorithms",
        Neural Computation 10 (1998): the k-fold cross-validated paired t test, whose interval is somewhat too narrow,
        since the folds' training sets overlap.
    """
    differences = _by_fold({key: value - second[key] for key, value in first.items() if key in second})
    if not differences:
        return None
    mean, count = fmean(differences), len(differences)
    if count == 1:
        return PairedDifference(mean, None, None, 1)
    half = t_quantile(count - 1) * stdev(differences) / sqrt(count)
    return PairedDifference(mean, mean - half, mean + half, count)


def _by_fold(differences: Mapping[Key, float]) -> list[float]:
    """The means of the folds where there are several, otherwise the differences themselves."""
    folds: dict[Hashable, list[float]] = {}
    for key, value in differences.items():
        folds.setdefault(key.fold if isinstance(key, Trial) else None, []).append(value)
    return [fmean(values) for values in folds.values()] if len(folds) > 1 else list(differences.values())


def best_rival(values: Mapping[Key, float], rivals: Mapping[str, Mapping[Key, float]]) -> str | None:
    """The rival that is furthest ahead, or least behind, on the pairs it shares; the first of several; None if none.

    A rival that diverged with some seeds is judged by the others, which favors the rival.

    Args:
        values: key to value, of the one that is compared.
        rivals: name to the same.
    """
    leads = {name: paired_difference(other, values) for name, other in rivals.items()}
    known = {name: lead.mean for name, lead in leads.items() if lead is not None}
    return max(known, key=lambda name: known[name]) if known else None


def t_quantile(degrees: int) -> float:
    """Quantile 0.975 of Student's t with `degrees` >= 1 degrees of freedom, to four decimals.

    From a table up to 30, beyond by the expansion around the normal quantile.

    Reference:
        Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.5.
    """
    if degrees < 1:
        raise ArgumentError("t_quantile", "degrees", degrees, "must be at least 1")
    if degrees <= len(_T_975):
        return _T_975[degrees - 1]
    x = NormalDist().inv_cdf(0.975)
    first = (x**3 + x) / 4
    second = (5 * x**5 + 16 * x**3 + 3 * x) / 96
    third = (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / 384
    return x + first / degrees + second / degrees**2 + third / degrees**3
