"""The accidental ramps against the leak itself, rebuilt with autograd."""

import pytest
import torch

from slrprune.errors import ArgumentError
from slrprune.methods.accidental_ramp import LeakedSteps, LeakedUpdates

RHO = 0.1


def factors_of_the_leak(stepsizes):
    """What multiplies the gradient of the penalty when U stays attached to W, after each update."""
    weight = torch.tensor([2.0], dtype=torch.float64, requires_grad=True)
    z, scaled, factors = torch.tensor([0.5], dtype=torch.float64), torch.zeros(1, dtype=torch.float64), []
    for step in stepsizes:
        scaled = scaled + step / RHO * (weight - z)
        residual = weight - z + scaled
        (gradient,) = torch.autograd.grad(RHO / 2 * residual.square().sum(), weight, retain_graph=True)
        factors.append((gradient / (RHO * residual.detach())).item())
    return factors


def test_slr_pulls_as_hard_as_the_leak():
    ramp = LeakedSteps(RHO, half_steps=12)
    k, s, stepsizes = 1, ramp.s0, []
    while k <= 12:
        s *= 1 - 1 / (ramp.M * k ** (1 - k**-ramp.r))
        stepsizes.append(s)
        k += 1
    expected = [RHO * factor for factor in factors_of_the_leak(stepsizes)]
    assert [ramp.at(k / 12) for k in range(1, 13)] == pytest.approx(expected)
    assert ramp.at(0.0) == RHO


def test_admm_pulls_as_hard_as_the_leak():
    ramp = LeakedUpdates(RHO, updates=5)
    expected = [RHO * factor for factor in factors_of_the_leak([RHO] * 5)]
    assert [ramp.at(k / 5) for k in range(1, 6)] == pytest.approx(expected)
    assert ramp.at(0.19) == RHO


def test_after_the_end_nothing_grows():
    assert LeakedSteps().at(1.5) == LeakedSteps().at(1.0)
    assert LeakedUpdates().at(1.5) == LeakedUpdates().at(1.0)


def test_values_out_of_range_are_refused():
    with pytest.raises(ArgumentError, match=r"LeakedSteps\(rho=0\): rho must be positive"):
        LeakedSteps(0)
    with pytest.raises(ArgumentError, match=r"LeakedSteps\(half_steps=0\): half_steps must be a whole number"):
        LeakedSteps(half_steps=0)
    with pytest.raises(ArgumentError, match=r"M must be above 1"):
        LeakedSteps(M=1)
    with pytest.raises(ArgumentError, match=r"LeakedUpdates\(updates=True\): updates must be a whole number"):
        LeakedUpdates(updates=True)
