"""Stepsize rules against their formulas, at values worked out elsewhere."""

import math

import pytest
import torch

from slrprune import ConstantStepsize, CosineStepsize, DecayingStepsize
from slrprune.errors import ArgumentError
from slrprune.methods import RelativeStepsize
from slrprune.methods.stepsize import alpha, as_stepsize, check_alpha, ratio


@pytest.mark.parametrize(
    ("M", "r", "halves", "product"),
    # The products that the reference states for 100 and 400 half-steps (section 2.6).
    [
        (300, 0.1, 100, 0.890),
        (200, 0.1, 100, 0.840),
        (50, 0.1, 100, 0.497),
        (300, 0.1, 400, 0.802),
        (50, 0.1, 400, 0.266),
    ],
)
def test_alpha_decays_as_published(M: float, r: float, halves: int, product: float) -> None:
    k = torch.arange(1, halves + 1, dtype=torch.float64)
    assert float(alpha(k, M, r).prod()) == pytest.approx(product, abs=5e-4)


def test_alpha_at_its_first_values() -> None:
    assert float(alpha(torch.tensor(1.0, dtype=torch.float64), 300, 0.1)) == pytest.approx(1 - 1 / 300)
    assert float(alpha(torch.tensor(2.0, dtype=torch.float64), 5, 0.5)) == pytest.approx(
        1 - 1 / (5 * 2 ** (1 - 2**-0.5))
    )


def test_decaying_stepsize_multiplies_by_alpha() -> None:
    rule = DecayingStepsize(initial=0.8, M=20, r=0.3)
    sigma, expected = rule.first, 0.8
    for k in range(1, 6):
        sigma = rule.next(sigma, k, 0.0)
        expected *= 1 - 1 / (20 * k ** (1 - 1 / k**0.3))
        assert sigma == pytest.approx(expected, rel=1e-12)


def test_cosine_stepsize_falls_from_initial_to_final() -> None:
    rule = CosineStepsize(1.0, 0.2)
    assert rule.first == 1.0
    assert [rule.next(0.0, 1, time) for time in (0.0, 0.5, 1.0, 1.5)] == pytest.approx([1.0, 0.6, 0.2, 0.2])
    assert rule.next(0.0, 1, 0.25) == pytest.approx(0.2 + 0.8 * (1 + math.cos(math.pi / 4)) / 2)


def test_a_number_is_a_constant_stepsize() -> None:
    rule = as_stepsize(0.3)
    assert rule == ConstantStepsize(0.3)
    assert (rule.first, rule.next(0.9, 7, 0.5)) == (0.3, 0.3)
    assert as_stepsize(rule) is rule


@pytest.mark.parametrize(
    ("numerator", "denominator", "expected"), [(1.0, 4.0, 0.25), (0.0, 4.0, 1.0), (1.0, 0.0, 1.0), (0.0, 0.0, 1.0)]
)
def test_ratio_divides_nothing_by_zero(numerator: float, denominator: float, expected: float) -> None:
    assert float(ratio(torch.tensor(numerator), torch.tensor(denominator))) == expected


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ConstantStepsize(0.0), r"ConstantStepsize\(sigma=0\.0\): sigma must be in \(0, 1\]\. 1 is ADMM's"),
        (lambda: ConstantStepsize(math.nan), r"sigma must be in \(0, 1\]"),
        (lambda: DecayingStepsize(initial=1.1), r"DecayingStepsize\(initial=1\.1\): initial must be in \(0, 1\]"),
        (lambda: DecayingStepsize(M=1.0), r"DecayingStepsize\(M=1\.0\): M must be above 1"),
        (lambda: DecayingStepsize(r=0.0), r"DecayingStepsize\(r=0\.0\): r must be in \(0, 1\)"),
        (lambda: CosineStepsize(final=0.0), r"CosineStepsize\(final=0\.0\): final must be in \(0, 1\]"),
        (lambda: CosineStepsize(initial=2.0), r"CosineStepsize\(initial=2\.0\): initial must be in \(0, 1\]"),
        (lambda: check_alpha("X", math.nan, 0.1), r"X\(M=nan\): M must be above 1"),
    ],
)
def test_refuses(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(ArgumentError, match=message):
        make()


def test_the_base_class_is_abstract() -> None:
    with pytest.raises(TypeError, match="abstract"):
        RelativeStepsize()  # type: ignore[abstract]
