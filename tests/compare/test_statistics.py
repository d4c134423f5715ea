"""Figures against hand computation and scipy."""

import math

import pytest

from slrprune.compare.statistics import best_rival, paired_difference, summarize, t_quantile
from slrprune.errors import ArgumentError


def test_mean_and_sample_deviation():
    summary = summarize([2.0, 4.0, 9.0])
    assert summary.mean == 5.0
    assert summary.std == pytest.approx(math.sqrt((9 + 1 + 16) / 2))
    assert summary.count == 3
    assert summarize([2.0]).std is None
    with pytest.raises(ArgumentError, match="values must hold at least one"):
        summarize([])


def test_the_paired_interval_by_hand():
    # Differences 1, 2, 3: mean 2, deviation 1; t(0.975, 2) = 4.3027.
    difference = paired_difference({0: 11.0, 1: 22.0, 2: 33.0, 8: 0.0}, {2: 30.0, 1: 20.0, 0: 10.0, 9: 0.0})
    assert difference.mean == pytest.approx(2.0)
    assert difference.high == pytest.approx(2.0 + 4.3027 / math.sqrt(3))
    assert difference.low == pytest.approx(2.0 - 4.3027 / math.sqrt(3))
    assert difference.count == 3


def test_one_pair_has_no_interval_and_no_pair_no_difference():
    difference = paired_difference({0: 1.0}, {0: 3.0})
    assert (difference.mean, difference.low, difference.high) == (-2.0, None, None)
    assert paired_difference({0: 1.0}, {1: 3.0}) is None


def test_quantiles_against_scipy():
    stats = pytest.importorskip("scipy.stats", reason="scipy comes with scikit-learn, of the extra demo")
    for degrees in (*range(1, 61), 100, 1000):
        assert t_quantile(degrees) == pytest.approx(stats.t.ppf(0.975, degrees), abs=1e-4)
    with pytest.raises(ArgumentError, match="degrees must be at least 1"):
        t_quantile(0)


def test_the_best_rival_is_judged_on_common_seeds():
    ours = {0: 80.0, 1: 90.0}
    # "lucky" has the higher mean, but only because it lacks the hard seed 0.
    rivals = {"steady": {0: 79.0, 1: 89.0}, "lucky": {1: 88.0}, "elsewhere": {7: 99.0}}
    assert best_rival(ours, rivals) == "steady"
    assert best_rival(ours, {"elsewhere": {7: 99.0}}) is None
    assert best_rival(ours, {"a": {0: 1.0}, "b": {0: 1.0}}) == "a"
