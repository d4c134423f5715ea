"""slrprune: prune PyTorch networks by surrogate Lagrangian relaxation, with a hard cut that costs no accuracy."""

from importlib.metadata import PackageNotFoundError, version

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

try:
    __version__ = version("slrprune")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0+unknown"

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
