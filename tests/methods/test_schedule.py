"""Ramps and penalties: values at the corners, monotone in between, refusals."""

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slrprune import ConstantPenalty, CubicRamp, GeometricPenalty, NoRamp, RelaxedPath
from slrprune.errors import ArgumentError
from slrprune.methods import Ramp
from slrprune.methods.schedule import as_penalty

TIMES = st.floats(0, 1)
RAMPS: list[Ramp] = [
    NoRamp(),
    CubicRamp(),
    CubicRamp(0.2, 0.9),
    CubicRamp(0.0, 1.0),
    RelaxedPath(),
    RelaxedPath(0.1, 0.7, 1.0),
]


@pytest.mark.parametrize("ramp", RAMPS, ids=repr)
@given(one=TIMES, other=TIMES)
def test_progress_never_falls_and_reaches_the_target(ramp: Ramp, one: float, other: float) -> None:
    early, late = sorted((one, other))
    assert 0 <= ramp.progress(early) <= ramp.progress(late) <= 1
    assert 1 >= ramp.relaxation(early) >= ramp.relaxation(late) >= 0
    assert ramp.progress(max(one, ramp.end)) == 1
    assert ramp.relaxation(max(one, ramp.end)) == 0


def test_cubic_ramp_is_equation_19() -> None:
    ramp = CubicRamp(0.2, 0.7)
    assert [ramp.progress(t) for t in (0.0, 0.2, 0.7, 1.0)] == [0, 0, 1, 1]
    assert ramp.progress(0.45) == pytest.approx(1 - 0.5**3)
    assert ramp.progress(0.3) == pytest.approx(1 - 0.8**3)


def test_relaxed_path_is_equation_20() -> None:
    path = RelaxedPath(0.2, 0.7, 2.0)
    assert [path.relaxation(t) for t in (0.0, 0.2, 0.7, 1.0)] == [1, 1, 0, 0]
    assert path.relaxation(0.45) == pytest.approx(0.25)
    assert RelaxedPath(0.0, 0.5, 3.0).relaxation(0.1) == pytest.approx(0.8**3)
    assert all(path.progress(t) == 1 for t in (0.0, 0.5, 1.0))


@given(time=TIMES)
def test_geometric_penalty_grows_by_equal_factors(time: float) -> None:
    penalty = GeometricPenalty(0.1, 10.0)
    assert math.log(penalty.at(time)) == pytest.approx(math.log(0.1) + time * math.log(100), abs=1e-9)


def test_penalties_at_the_ends() -> None:
    assert [GeometricPenalty(0.1, 10.0).at(t) for t in (0.0, 0.5, 1.0, 2.0)] == pytest.approx([0.1, 1.0, 10.0, 10.0])
    assert [ConstantPenalty(3.0).at(t) for t in (0.0, 1.0)] == [3, 3]
    assert as_penalty(3) == ConstantPenalty(3.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CubicRamp(-0.1), r"CubicRamp\(begin=-0\.1\): begin must be in \[0, 1\)"),
        (lambda: CubicRamp(0.5, 0.5), r"CubicRamp\(end=0\.5\): end must be in \(0\.5, 1\]"),
        (lambda: CubicRamp(0.0, 1.1), r"CubicRamp\(end=1\.1\): end must be in \(0\.0, 1\]"),
        (lambda: RelaxedPath(1.0, 1.0), r"RelaxedPath\(begin=1\.0\): begin must be in \[0, 1\)"),
        (lambda: RelaxedPath(0.2, 0.1), r"RelaxedPath\(end=0\.1\): end must be in \(0\.2, 1\]"),
        (lambda: RelaxedPath(power=0.5), r"RelaxedPath\(power=0\.5\): power must be at least 1"),
        (lambda: GeometricPenalty(0.0, 1.0), r"GeometricPenalty\(first=0\.0\): first must be positive"),
        (lambda: GeometricPenalty(1.0, math.nan), r"GeometricPenalty\(last=nan\): last must be positive"),
        (lambda: ConstantPenalty(-1.0), r"ConstantPenalty\(rho=-1\.0\): rho must be positive"),
    ],
)
def test_refuses(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        make()
