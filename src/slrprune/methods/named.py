"""The methods by name, as command lines and configuration files write them."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from slrprune.methods.accidental_ramp import LeakedSteps, LeakedUpdates
from slrprune.methods.admm import ADMM
from slrprune.methods.base import Method
from slrprune.methods.classic_slr import ClassicSLR
from slrprune.methods.gradual_magnitude import GradualMagnitude
from slrprune.methods.one_shot import OneShot
from slrprune.methods.quadratic_penalty import QuadraticPenalty
from slrprune.methods.schedule import ConstantPenalty, CubicRamp, NoRamp
from slrprune.methods.slr import SLR


@dataclass(frozen=True)
class NamedMethod:
    """A method under a name.

    Args:
        description: one line that says what it is.
        method: with its settings.
    """

    description: str
    method: Method


_MIDDLE = ConstantPenalty(1.0)  # the geometric mean of the ramp from 0.1 to 10 that the classic methods default to

NAMED_METHODS: Mapping[str, NamedMethod] = MappingProxyType(
    {
        "slr": NamedMethod("SLR from the feasible point, the default method", SLR()),
        "dpf": NamedMethod(
            "dynamic pruning with feedback, which is SLR that trusts every unit, on a sparsity ramp",
            SLR(sigma=1.0, trust=None, garrote=None, ramp=CubicRamp()),
        ),
        "classic_slr": NamedMethod("SLR as published, rho constant", ClassicSLR(penalty=_MIDDLE)),
        "classic_slr_ramp": NamedMethod("SLR as published, rho growing", ClassicSLR()),
        "classic_slr_leak": NamedMethod(
            "SLR as published, rho growing as in the authors' code by accident", ClassicSLR(penalty=LeakedSteps())
        ),
        "admm": NamedMethod("ADMM, rho constant", ADMM(penalty=_MIDDLE)),
        "admm_ramp": NamedMethod("ADMM, rho growing", ADMM()),
        "admm_leak": NamedMethod(
            "ADMM as published, rho growing as in the authors' code by accident",
            ADMM(penalty=LeakedUpdates(), ramp=NoRamp()),
        ),
        "quadratic_penalty": NamedMethod("the splitting without multipliers, rho growing", QuadraticPenalty()),
        "gradual_magnitude": NamedMethod("gradual magnitude pruning, then masked fine-tuning", GradualMagnitude()),
        "one_shot": NamedMethod("one magnitude cut at the start, then masked fine-tuning", OneShot()),
    }
)
"""All of them; `slrprune.compare` builds its arms from these."""
