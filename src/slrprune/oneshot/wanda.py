"""Wanda: magnitudes times the norms of the inputs."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from slrprune.oneshot.problem import LayerProblem, select
from slrprune.oneshot.solver import Solution, Solver, solution
from slrprune.sets.base import ConstraintSet, kept_count
from slrprune.sets.nm import NM
from slrprune.sets.unstructured import Unstructured


@dataclass(frozen=True)
class Wanda(Solver):
    """Keeps the entries with the largest |W_ij| ||x_j||, at their old values. One projection.

    The score is the magnitude in the scaled problem, so this is the projection of W in the diagonal metric: the answer
    for inputs without correlation.

    Args:
        per_row: under `Unstructured`, give every output row the same count, as published (what does not divide goes to
            the best of the rest, so that the count of the set is met). False ranks the whole layer. Other sets say
            themselves what competes.

    Reference:
        M. Sun, Z. Liu, A. Bair, J. Z. Kolter, "A simple and effective pruning approach for large language models", ICLR
        2024, equation 1 and section 3.
    """

    per_row: bool = True

    def solve_together(self, problems: Sequence[LayerProblem], constraint: ConstraintSet) -> list[Solution]:
        """The projections of the scaled weights."""
        points = [problem.target for problem in problems]
        scores = points
        if self.per_row and isinstance(constraint, Unstructured):
            scores = [_reserved(point, constraint.sparsity) for point in points]
        masks = select(problems, constraint, scores)
        # From the stored weight, not from the scaled one: what stays is unchanged bit for bit.
        return [_kept(problem, mask) for problem, mask in zip(problems, masks, strict=True)]


def _kept(problem: LayerProblem, mask: Tensor) -> Solution:
    found = solution(problem, problem.target, mask)
    weight = problem.weight.detach()
    return Solution(weight.where(found.mask, 0.0), found.mask)


def _reserved(point: Tensor, sparsity: float) -> Tensor:
    """The scores with infinity for what every row keeps in any case: the whole part of its even share."""
    rows = point.flatten(0, 1).abs()
    share = kept_count(point.numel(), sparsity) // len(rows)
    if share:
        rows = rows.masked_fill(NM(share, rows.shape[1]).select_one(rows), torch.inf)
    return rows.view_as(point)
