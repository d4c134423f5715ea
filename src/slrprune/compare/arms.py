"""The arms by name."""

import re
from collections.abc import Iterable

from slrprune.compare.arm import Arm, DenseArm, MethodArm
from slrprune.errors import ArgumentError, closest
from slrprune.methods import (
    ADMM,
    SLR,
    ClassicSLR,
    ConstantPenalty,
    GradualMagnitude,
    OneShot,
    QuadraticPenalty,
)

_MIDDLE = ConstantPenalty(1.0)  # the geometric mean of the ramp from 0.1 to 10 that the classic methods default to

_OURS: tuple[Arm, ...] = (
    MethodArm("slr", "SLR from the feasible point, the default method", SLR()),
    MethodArm("dpf", "dynamic pruning with feedback, which is SLR with sigma = 1", SLR(sigma=1.0)),
    MethodArm("classic_slr", "SLR as published, rho constant", ClassicSLR(penalty=_MIDDLE)),
    MethodArm("classic_slr_ramp", "SLR as published, rho growing", ClassicSLR()),
    MethodArm("admm", "ADMM, rho constant", ADMM(penalty=_MIDDLE)),
    MethodArm("admm_ramp", "ADMM, rho growing", ADMM()),
    MethodArm("quadratic_penalty", "the splitting without multipliers, rho growing", QuadraticPenalty()),
    MethodArm("gradual_magnitude", "gradual magnitude pruning, then masked fine-tuning", GradualMagnitude()),
    MethodArm("one_shot", "one magnitude cut at the start, then masked fine-tuning", OneShot()),
    DenseArm("dense", "no pruning, trained for the same steps"),
)
_REGISTRY: dict[str, Arm] = {arm.name: arm for arm in _OURS}


def available() -> tuple[Arm, ...]:
    """All arms, ours first, then those that `register` added, in that order."""
    return tuple(_REGISTRY.values())


def register(arm: Arm) -> None:
    """Adds an arm, for example a `RivalArm` around another library.

    Raises:
        ArgumentError: the name is taken, or contains anything but lower-case letters, digits and underscores.
    """
    owner = type(arm).__name__
    if not re.fullmatch(r"[a-z][a-z0-9_]*", arm.name):
        rule = "must begin with a lower-case letter and go on with such letters, digits and underscores"
        raise ArgumentError(owner, "name", arm.name, rule)
    if arm.name in _REGISTRY:
        raise ArgumentError(owner, "name", arm.name, "is taken", f"It is: {_REGISTRY[arm.name].description}.")
    _REGISTRY[arm.name] = arm


def find(names: Iterable[str]) -> tuple[Arm, ...]:
    """The arms of these names, in the order given, each once.

    Raises:
        ArgumentError: an unknown name; the message lists what there is, the closest first.

    Examples:
        >>> [arm.settings for arm in find(["dense"])]
        ['dense']
    """
    found: dict[str, Arm] = {}
    for name in names:
        if name not in _REGISTRY:
            nearest = closest(name, _REGISTRY, count=1)[0]
            rule = f"must be one of {', '.join(_REGISTRY)}"
            raise ArgumentError("compare", "method", name, rule, f"The closest is {nearest!r}.")
        found[name] = _REGISTRY[name]
    return tuple(found.values())
