"""One-shot pruning: layer by layer from calibration inputs, without training."""

from slrprune.oneshot.admm import ADMM as ADMM
from slrprune.oneshot.gram import Gram as Gram
from slrprune.oneshot.least_squares import Refitted as Refitted
from slrprune.oneshot.least_squares import refit as refit
from slrprune.oneshot.magnitude import Magnitude as Magnitude
from slrprune.oneshot.per_row import PerRow as PerRow
from slrprune.oneshot.problem import LayerProblem as LayerProblem
from slrprune.oneshot.report import LayerRecord as LayerRecord
from slrprune.oneshot.report import OneShotReport as OneShotReport
from slrprune.oneshot.report import Progress as Progress
from slrprune.oneshot.run import prune as prune
from slrprune.oneshot.slr import SLR as SLR
from slrprune.oneshot.solver import Solution as Solution
from slrprune.oneshot.solver import Solver as Solver
from slrprune.oneshot.sparsegpt import SparseGPT as SparseGPT
from slrprune.oneshot.splitting import PenaltyStages as PenaltyStages
from slrprune.oneshot.wanda import Wanda as Wanda
