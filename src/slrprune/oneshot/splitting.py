"""The splitting that SLR and ADMM share: one exact least-squares step and one exact projection per iteration.

    minimise  1/2 tr((W - V) H (W - V)^T)   over V = Z, Z in S,

in the scaled problem (see `LayerProblem`), with multipliers Lambda = rho U of V = Z. One iteration:

    1.  V = argmin L(V, Z, U) = W + rho (Z - U - W) (H + rho I)^-1
    2.  U = U + sigma_1 (V - Z)              the first multiplier step: SLR's; sigma_1 = 0 is ADMM
    3.  Z = Proj_S(V + U)
    4.  U = U + sigma_2 (V - Z)              the second one; sigma_2 = 1 is ADMM

rho grows in stages. The inverse of a stage is made once, from one Cholesky factorization, and serves all its iterations
and all output rows, so an iteration costs one product of W's shape with an (inputs, inputs) matrix and one projection.
Large rho holds V near Z and settles the support; small rho lets the support move.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from slrprune.errors import ArgumentError
from slrprune.oneshot.factor import damped_cholesky
from slrprune.oneshot.least_squares import refit_point
from slrprune.oneshot.problem import TINY, LayerProblem, select
from slrprune.oneshot.solver import Solution, Solver, solution
from slrprune.sets.base import ConstraintSet


@dataclass(frozen=True)
class PenaltyStages:
    """rho, the penalty coefficient of the scaled problem (whose H has unit diagonal), stage by stage.

    Args:
        first: rho of the first stage, above 0.
        last: rho of the last stage, at least `first`.
        stages: how many, geometrically spaced; at least 1. With 1 stage rho is `last`.
        length: iterations of a stage, at least 1.

    Raises:
        ArgumentError: a value outside its range.
    """

    first: float = 0.1
    last: float = 1.0
    stages: int = 4
    length: int = 4

    def __post_init__(self) -> None:
        if not self.first > 0:
            raise ArgumentError("PenaltyStages", "first", self.first, "must be above 0")
        if not self.last >= self.first:
            raise ArgumentError("PenaltyStages", "last", self.last, "must be at least `first`")
        for name, value in (("stages", self.stages), ("length", self.length)):
            if value < 1:
                raise ArgumentError("PenaltyStages", name, value, "must be at least 1")

    def values(self) -> list[float]:
        """rho of every stage, rising from `first` to `last`."""
        if self.stages == 1:
            return [self.last]
        ratio = (self.last / self.first) ** (1 / (self.stages - 1))
        return [self.first * ratio**stage for stage in range(self.stages - 1)] + [self.last]


@dataclass
class _Layer:
    """The iterates of one layer, all (groups, outputs, inputs), and the inverse of its stage."""

    problem: LayerProblem
    Z: Tensor
    U: Tensor
    mask: Tensor
    inverse: Tensor
    """(H' + rho I)^-1, or its lower Cholesky factor where the layer has fewer outputs than inputs."""

    def enter_stage(self, rho: float, growth: float) -> None:
        """Factorizes for a new rho; U = Lambda / rho shrinks as rho grows."""
        shifted = self.problem.scaled_gram.clone()
        shifted.diagonal(dim1=-2, dim2=-1).add_(rho)
        self.inverse = damped_cholesky(shifted)
        if not self.has_few_outputs:
            self.inverse = torch.cholesky_inverse(self.inverse)
        self.U /= growth

    @property
    def has_few_outputs(self) -> bool:
        """Whether two triangular solves per iteration cost less than an inverse per stage."""
        return self.U.shape[1] < self.U.shape[2]

    def least_squares(self, rho: float) -> Tensor:
        """V = W + rho (Z - U - W) (H + rho I)^-1, step 1."""
        target = self.problem.target
        side = (self.Z - self.U).sub_(target)
        if self.has_few_outputs:
            return torch.cholesky_solve(side.mT, self.inverse).mT.mul_(rho).add_(target)
        return torch.baddbmm(target, side, self.inverse, alpha=rho)


@dataclass(frozen=True, kw_only=True)
class Splitting(Solver):
    """What `SLR` and `ADMM` have in common; they differ in the stepsizes of the multipliers.

    Args:
        penalty: rho over the iterations.
        tolerance: the run ends when the Z step lowers the Lagrangian by less than this, as a fraction of rho/2 ||W||^2
            in the scaled problem; in [0, 1). 0 asks for the surrogate condition itself.

    Raises:
        ArgumentError: a tolerance outside its range.
    """

    penalty: PenaltyStages = field(default_factory=PenaltyStages)
    tolerance: float = 1e-7

    def __post_init__(self) -> None:
        """Checks what both share; a subclass that needs more calls this first."""
        if not 0 <= self.tolerance < 1:
            raise ArgumentError(type(self).__name__, "tolerance", self.tolerance, "must be in [0, 1)")

    @abstractmethod
    def stepsizes(self, iteration: int, before: float) -> tuple[float, float]:
        """sigma_1 and sigma_2 of iteration k, relative to rho.

        Args:
            iteration: k >= 1.
            before: sigma_2 of iteration k - 1; 1 at k = 1.
        """

    def solve_together(self, problems: Sequence[LayerProblem], constraint: ConstraintSet) -> list[Solution]:
        """Iterates, then refits the values on the support of Z exactly."""
        masks = select(problems, constraint, [problem.target for problem in problems])
        layers = [_start(problem, mask) for problem, mask in zip(problems, masks, strict=True)]
        least = self.tolerance * sum(float(p.target.square().sum() / max(p.energy, TINY)) for p in problems)
        iterations, sigma, is_converged, before = 0, 1.0, False, None
        for rho in self.penalty.values():
            for layer in layers:
                layer.enter_stage(rho, rho / (before or rho))
            before = rho
            for _ in range(self.penalty.length):
                iterations += 1
                first, sigma = self.stepsizes(iterations, sigma)
                points, old = _iterate(layers, constraint, rho, first, sigma)
            is_converged = _decrease(layers, points, old) <= least
            if is_converged:
                break
        return [_finished(layer, iterations, is_converged) for layer in layers]


def _start(problem: LayerProblem, mask: Tensor) -> _Layer:
    point = torch.where(mask, problem.target, 0.0)
    return _Layer(problem, point, torch.zeros_like(point), mask, problem.scaled_gram)


def _iterate(
    layers: Sequence[_Layer], constraint: ConstraintSet, rho: float, first: float, second: float
) -> tuple[list[Tensor], list[Tensor]]:
    """One iteration, in place; returns what was projected, V + U, and the Z before."""
    points = []
    for layer in layers:
        V = layer.least_squares(rho)
        if first:
            layer.U.add_(V - layer.Z, alpha=first)
        points.append(V.add_(layer.U))  # V itself is not needed again: it is the point less U
    masks = select([layer.problem for layer in layers], constraint, points)
    old = [layer.Z for layer in layers]
    for layer, point, mask in zip(layers, points, masks, strict=True):
        layer.Z, layer.mask = point * mask, mask
        residual = point - layer.U  # V
        layer.U.add_(residual.sub_(layer.Z), alpha=second)
    return points, old


def _decrease(layers: Sequence[_Layer], points: Sequence[Tensor], old: Sequence[Tensor]) -> float:
    """What the last Z step took off the Lagrangian, in units of rho/2 and of the layers' energies.

    That is ||V + U - Z_old||^2 - ||V + U - Z_new||^2. At 0 the second surrogate condition, L(V, Z_new, Lambda) <
    L(V, Z_old, Lambda), fails.
    """
    total = 0.0
    for layer, point, before in zip(layers, points, old, strict=True):
        gap = (before - point).square_().sum() - (layer.Z - point).square_().sum()
        total += float(gap) / max(layer.problem.energy, TINY)
    return total


def _finished(layer: _Layer, iterations: int, is_converged: bool) -> Solution:
    point = refit_point(layer.problem, layer.mask, layer.Z)
    return solution(layer.problem, point, layer.mask, iterations, is_converged)
