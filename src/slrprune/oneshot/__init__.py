"""One-shot pruning: layer by layer from calibration inputs, without training."""

from slrprune.oneshot.admm import ADMM
from slrprune.oneshot.gram import Gram
from slrprune.oneshot.least_squares import Refitted, refit
from slrprune.oneshot.magnitude import Magnitude
from slrprune.oneshot.per_row import PerRow
from slrprune.oneshot.problem import LayerProblem
from slrprune.oneshot.report import LayerRecord, OneShotReport, Progress
from slrprune.oneshot.run import prune
from slrprune.oneshot.slr import SLR
from slrprune.oneshot.solver import Solution, Solver
from slrprune.oneshot.sparsegpt import SparseGPT
from slrprune.oneshot.splitting import PenaltyStages
from slrprune.oneshot.wanda import Wanda

__all__ = [
    "ADMM",
    "SLR",
    "Gram",
    "LayerProblem",
    "LayerRecord",
    "Magnitude",
    "OneShotReport",
    "PenaltyStages",
    "PerRow",
    "Progress",
    "Refitted",
    "Solution",
    "Solver",
    "SparseGPT",
    "Wanda",
    "prune",
    "refit",
]
