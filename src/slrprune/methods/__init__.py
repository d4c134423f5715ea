"""How the weights are pushed into their sets."""

from slrprune.methods.admm import ADMM
from slrprune.methods.base import Method, MethodState, Moment, Observation, Problem, all_true, mask_counts
from slrprune.methods.classic_slr import ClassicSLR, Counting, Numerator, OnFailure
from slrprune.methods.gradual_magnitude import GradualMagnitude
from slrprune.methods.masked import keep_
from slrprune.methods.one_shot import OneShot
from slrprune.methods.quadratic_penalty import QuadraticPenalty
from slrprune.methods.schedule import ConstantPenalty, CubicRamp, GeometricPenalty, NoRamp, Penalty, Ramp, RelaxedPath
from slrprune.methods.slr import SLR
from slrprune.methods.stepsize import ConstantStepsize, CosineStepsize, DecayingStepsize, RelativeStepsize

__all__ = [
    "ADMM",
    "SLR",
    "ClassicSLR",
    "ConstantPenalty",
    "ConstantStepsize",
    "CosineStepsize",
    "Counting",
    "CubicRamp",
    "DecayingStepsize",
    "GeometricPenalty",
    "GradualMagnitude",
    "Method",
    "MethodState",
    "Moment",
    "NoRamp",
    "Numerator",
    "Observation",
    "OnFailure",
    "OneShot",
    "Penalty",
    "Problem",
    "QuadraticPenalty",
    "Ramp",
    "RelativeStepsize",
    "RelaxedPath",
    "all_true",
    "keep_",
    "mask_counts",
]
