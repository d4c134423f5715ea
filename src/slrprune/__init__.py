"""slrprune: prune PyTorch networks by surrogate Lagrangian relaxation, with a hard cut that costs no accuracy."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for type checkers and editors; at run time a name is imported when it is first used
    from slrprune.batchnorm import reestimate_batchnorm
    from slrprune.errors import SlrpruneError
    from slrprune.masks import MaskKeeper, apply_masks_
    from slrprune.methods import (
        ADMM,
        SLR,
        ClassicSLR,
        ConstantPenalty,
        ConstantStepsize,
        CosineStepsize,
        CubicRamp,
        DecayingStepsize,
        GeometricPenalty,
        GradualMagnitude,
        Method,
        NoRamp,
        OneShot,
        QuadraticPenalty,
        RelaxedPath,
    )
    from slrprune.pruner import Pruner
    from slrprune.records import SparsityReport, UpdateRecord
    from slrprune.sets import (
        NM,
        Block,
        Channel,
        Column,
        ConstraintSet,
        Global,
        Intersection,
        KernelPattern,
        Unstructured,
    )

    __version__: str

__all__ = [
    "ADMM",
    "NM",
    "SLR",
    "Block",
    "Channel",
    "ClassicSLR",
    "Column",
    "ConstantPenalty",
    "ConstantStepsize",
    "ConstraintSet",
    "CosineStepsize",
    "CubicRamp",
    "DecayingStepsize",
    "GeometricPenalty",
    "Global",
    "GradualMagnitude",
    "Intersection",
    "KernelPattern",
    "MaskKeeper",
    "Method",
    "NoRamp",
    "OneShot",
    "Pruner",
    "QuadraticPenalty",
    "RelaxedPath",
    "SlrpruneError",
    "SparsityReport",
    "Unstructured",
    "UpdateRecord",
    "apply_masks_",
    "reestimate_batchnorm",
]

# Torch takes seconds to import, and `slrprune --help` does not need it.
_HOMES = {
    "slrprune.batchnorm": ("reestimate_batchnorm",),
    "slrprune.errors": ("SlrpruneError",),
    "slrprune.masks": ("MaskKeeper", "apply_masks_"),
    "slrprune.methods": (
        "ADMM",
        "SLR",
        "ClassicSLR",
        "ConstantPenalty",
        "ConstantStepsize",
        "CosineStepsize",
        "CubicRamp",
        "DecayingStepsize",
        "GeometricPenalty",
        "GradualMagnitude",
        "Method",
        "NoRamp",
        "OneShot",
        "QuadraticPenalty",
        "RelaxedPath",
    ),
    "slrprune.pruner": ("Pruner",),
    "slrprune.records": ("SparsityReport", "UpdateRecord"),
    "slrprune.sets": (
        "NM",
        "Block",
        "Channel",
        "Column",
        "ConstraintSet",
        "Global",
        "Intersection",
        "KernelPattern",
        "Unstructured",
    ),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        value: Any = _version()
    elif name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
    else:
        raise AttributeError(f"module 'slrprune' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME, "__version__"})


def _version() -> str:
    """Of the installed distribution; to look it up takes half as long as all else that `slrprune --help` needs."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("slrprune")
    except PackageNotFoundError:  # run from a source tree that was never installed
        return "0+unknown"
