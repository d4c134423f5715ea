"""The arms by name."""

import re
from collections.abc import Iterable
from dataclasses import replace

from slrprune.compare.arm import Arm, DenseArm, MethodArm
from slrprune.compare.extras import NAMED, merged
from slrprune.errors import ArgumentError, suggestion
from slrprune.methods import (
    ADMM,
    SLR,
    ClassicSLR,
    ConstantPenalty,
    CosineStepsize,
    CubicRamp,
    GeometricPenalty,
    GradualMagnitude,
    NoRamp,
    QuadraticPenalty,
)
from slrprune.methods.base import Method
from slrprune.methods.named import NAMED_METHODS

_MIDDLE = ConstantPenalty(1.0)  # as in the arms with a constant rho
_DPF = SLR(sigma=1.0, trust=None, garrote=None, ramp=CubicRamp())  # the arm's own
_PENALTIES = (GeometricPenalty(0.01, 1.0), GeometricPenalty(1.0, 10.0), GeometricPenalty(0.1, 100.0))


def _ours(name: str, *others: Method) -> MethodArm:
    """The arm of a named method with the other settings that equal tuning tries after its own, in this order."""
    named = NAMED_METHODS[name]
    alternatives = tuple(MethodArm(name, named.description, other) for other in others)
    return MethodArm(name, named.description, named.method, alternatives=alternatives)


_OURS: tuple[Arm, ...] = (
    _ours(
        "slr",
        *(replace(SLR(), sigma=sigma) for sigma in (0.3, 0.5, CosineStepsize(1.0, 0.1))),
        *(replace(SLR(), interval=5), replace(SLR(), decay=0.001)),
    ),
    _ours(
        "dpf",
        *(replace(_DPF, ramp=CubicRamp(end=end)) for end in (0.3, 0.7)),
        *(replace(_DPF, interval=5), replace(_DPF, interval=20), replace(_DPF, decay=0.001)),
    ),
    _ours(
        "classic_slr",
        *(ClassicSLR(penalty=ConstantPenalty(rho)) for rho in (0.1, 0.3, 3.0, 10.0)),
        ClassicSLR(penalty=_MIDDLE, s0=0.001),
    ),
    _ours(
        "classic_slr_ramp",
        *(ClassicSLR(ramp=CubicRamp()), ClassicSLR(penalty=_PENALTIES[0], s0=0.001, ramp=CubicRamp())),
        *(ClassicSLR(penalty=penalty) for penalty in _PENALTIES[1:]),
        ClassicSLR(s0=0.1),
    ),
    _ours("classic_slr_leak"),
    _ours(
        "admm",
        *(ADMM(penalty=ConstantPenalty(rho)) for rho in (0.1, 0.3, 3.0, 10.0)),
        ADMM(penalty=_MIDDLE, ramp=NoRamp()),
    ),
    _ours(
        "admm_ramp",
        *(ADMM(penalty=penalty) for penalty in _PENALTIES),
        *(ADMM(ramp=NoRamp()), ADMM(interval=5)),
    ),
    _ours("admm_leak"),
    _ours(
        "quadratic_penalty",
        *(QuadraticPenalty(penalty=penalty) for penalty in _PENALTIES),
        *(QuadraticPenalty(ramp=NoRamp()), QuadraticPenalty(interval=5)),
    ),
    _ours(
        "gradual_magnitude",
        *(GradualMagnitude(ramp=CubicRamp(end=end)) for end in (0.3, 0.7, 0.9)),
        *(GradualMagnitude(interval=interval) for interval in (10, 50)),
    ),
    _ours("one_shot"),
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

    A name may be followed by extras, each after a plus sign: "admm_ramp+bn" is ADMM with BatchNorm re-estimated after
    the cut, paid for out of its budget. See `slrprune.compare.extras.NAMED`.

    Raises:
        ArgumentError: an unknown name; the message lists what there is, and names one that is near. Retraining for an
            arm that prunes nothing.

    Examples:
        >>> [arm.settings for arm in find(["dense"])]
        ['dense']
    """
    found: dict[str, Arm] = {}
    for name in names:
        base, *extras = name.split("+")
        if base not in _REGISTRY:
            rule = f"must be one of {', '.join(_REGISTRY)}"
            raise ArgumentError("compare", "method", base, rule, suggestion(base, _REGISTRY))
        arm = _with_extras(_REGISTRY[base], extras)
        found[arm.name] = arm
    return tuple(found.values())


def _with_extras(arm: Arm, names: list[str]) -> Arm:
    """The arm and its alternatives with extras of these names."""
    if not names:
        return arm
    names = [name for name in NAMED if name in names] + [name for name in names if name not in NAMED]
    extras = merged(names)
    if extras.retrain and not arm.prunes:
        raise ArgumentError("compare", "method", f"{arm.name}+retrain", "must prune before it can be retrained")
    return replace(
        arm,
        name="+".join([arm.name, *names]),
        description=f"{arm.description}; {', '.join(NAMED[name][0] for name in names)}",
        extras=extras,
        alternatives=tuple(_with_extras(other, names) for other in arm.alternatives),
    )
