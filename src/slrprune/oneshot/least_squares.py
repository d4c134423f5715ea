"""The best weights on a fixed support: exact least squares."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from slrprune.errors import ArgumentError, ShapeError
from slrprune.oneshot.factor import damped_cholesky
from slrprune.oneshot.problem import LayerProblem
from slrprune.oneshot.solver import Solution, Solver
from slrprune.sets.base import ConstraintSet

_DIRECT = 96  # up to this many non-zeros in a row a factorization beats conjugate gradients
_CHUNK = 1 << 24  # numbers in the factorizations of one batch of rows
_RIDGE = 1e-6  # of the unit diagonal, in the factorizations: of several best answers the one nearest to W is taken


def refit(
    problem: LayerProblem,
    mask: Tensor,
    start: Tensor | None = None,
    *,
    tolerance: float = 1e-2,
    max_iterations: int = 100,
) -> Tensor:
    """The weight with this support that has the least error at the layer's output.

    minimise tr((W - V) H (W - V)^T) over V that is zero where `mask` is False: one linear system per output row i with
    support S_i, H[S_i, S_i] v = (H w_i)[S_i]. Rows of few non-zeros are solved directly by batched Cholesky
    factorization in float64; the others all at once by conjugate gradients in the scaled problem (unit diagonal), each
    step one product with H.

    Args:
        problem: the layer.
        mask: bool, the shape of the weight, True = kept.
        start: where conjugate gradients start, shape of the weight; a good one saves steps. None is W on the
            support.
        tolerance: conjugate gradients stop when the gradient of every row on its support, relative to that of V = 0,
            is below this; in (0, 1). The excess error is of the order of its square.
        max_iterations: of conjugate gradients, at least 0; with 0 the direct solution is taken for all rows, which is
            slow for long rows.

    Returns:
        The weight: shape and dtype of the layer's, zero where `mask` is False.

    Raises:
        ArgumentError: a tolerance or a number of iterations outside its range.
        ShapeError: a mask of another shape than the weight.
    """
    if not 0 < tolerance < 1:
        raise ArgumentError("refit", "tolerance", tolerance, "must be in (0, 1)")
    if max_iterations < 0:
        raise ArgumentError("refit", "max_iterations", max_iterations, "must be at least 0")
    if mask.shape != problem.weight.shape:
        raise ShapeError(problem.name, f"the mask must have the shape {tuple(problem.weight.shape)}", mask.shape)
    kept = problem.layout.matrix(mask)
    first = problem.weight.detach() if start is None else start
    point = problem.layout.matrix(first).to(problem.target.dtype) * problem.scale
    with torch.no_grad():
        return problem.unscaled(refit_point(problem, kept, point, tolerance, max_iterations))


def refit_point(
    problem: LayerProblem, mask: Tensor, start: Tensor, tolerance: float = 1e-2, max_iterations: int = 100
) -> Tensor:
    """`refit` in the scaled problem: `mask` and `start` as matrices, (groups, outputs, inputs)."""
    if not max_iterations or int(mask.sum(-1).max()) <= _DIRECT:
        return _direct(problem, mask)
    return _conjugate_gradients(problem, mask, start, tolerance, max_iterations)


def _direct(problem: LayerProblem, mask: Tensor) -> Tensor:
    """Batched Cholesky of the rows' own systems, padded to the longest row by ones on the diagonal."""
    target, gram = problem.target, problem.scaled_gram
    precise = torch.float32 if target.device.type == "mps" else torch.float64
    length = max(1, int(mask.sum(-1).max()))
    chunk = max(1, _CHUNK // length**2)
    result = torch.where(mask, target, 0.0)
    for group in range(len(target)):
        wide = gram[group].to(precise)
        # Solved for the change against W on the support, which the ridge keeps small.
        sides = (target[group] - result[group]).to(precise) @ wide
        for start in range(0, target.shape[1], chunk):
            rows = slice(start, start + chunk)
            index = mask[group, rows].byte().argsort(dim=1, descending=True, stable=True)[:, :length]
            stays = mask[group, rows].gather(1, index)
            system = wide[index.unsqueeze(2), index.unsqueeze(1)]
            system.mul_(stays.unsqueeze(2) & stays.unsqueeze(1))
            system.diagonal(dim1=1, dim2=2).add_((~stays).to(precise) + _RIDGE)
            side = sides[rows].gather(1, index).mul_(stays)
            values = torch.cholesky_solve(side.unsqueeze(2), damped_cholesky(system)).squeeze(2)
            result[group, rows] += torch.zeros_like(sides[rows]).scatter_(1, index, values).to(result.dtype)
    return result


def _conjugate_gradients(
    problem: LayerProblem, mask: Tensor, start: Tensor, tolerance: float, max_iterations: int
) -> Tensor:
    """All rows at once, each with its own step lengths."""
    target, gram = problem.target, problem.scaled_gram
    point = torch.where(mask, start, 0.0)
    kept = mask.to(target.dtype)
    residual = ((target - point) @ gram).mul_(kept)
    direction = residual.clone()
    norms = residual.square().sum(-1, keepdim=True)
    goal = tolerance**2 * (problem.image * kept).square().sum(-1, keepdim=True)
    for _ in range(max_iterations):
        if bool((norms <= goal).all()):
            break
        image = (direction @ gram).mul_(kept)
        curvature = (direction * image).sum(-1, keepdim=True)
        length = torch.where(curvature > 0, norms / curvature, 0.0)
        point.addcmul_(direction, length)
        residual.addcmul_(image, length, value=-1)
        before, norms = norms, residual.square().sum(-1, keepdim=True)
        direction.mul_(torch.where(before > 0, norms / before, 0.0)).add_(residual)
    return point


@dataclass(frozen=True)
class Refitted(Solver):
    """Any solver, followed by the exact least-squares refit on the support it found.

    Args:
        solver: what chooses the support.
        tolerance: see `refit`.
        max_iterations: see `refit`.

    Examples:
        >>> from slrprune.oneshot import Refitted, Wanda
        >>> Refitted(Wanda())
        Refitted(solver=Wanda(per_row=True), tolerance=0.01, max_iterations=100)
    """

    solver: Solver
    tolerance: float = 1e-2
    max_iterations: int = 100

    def solve_together(self, problems: Sequence[LayerProblem], constraint: ConstraintSet) -> list[Solution]:
        """The solver's supports with the best values on them."""
        return [
            Solution(
                refit(
                    problem,
                    found.mask,
                    found.weight,
                    tolerance=self.tolerance,
                    max_iterations=self.max_iterations,
                ),
                found.mask,
                found.iterations,
                found.is_converged,
            )
            for problem, found in zip(problems, self.solver.solve_together(problems, constraint), strict=True)
        ]
