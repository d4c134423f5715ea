"""Magnitudes alone: what calibration has to beat."""

from collections.abc import Sequence
from dataclasses import dataclass

from slrprune.oneshot.problem import LayerProblem
from slrprune.oneshot.solver import Solution, Solver
from slrprune.sets.base import ConstraintSet


@dataclass(frozen=True)
class Magnitude(Solver):
    """The nearest point to the weights themselves; calibration inputs are not looked at. One projection."""

    def solve_together(self, problems: Sequence[LayerProblem], constraint: ConstraintSet) -> list[Solution]:
        """The projections; a joint set compares plain magnitudes."""
        weights = [problem.weight.detach() for problem in problems]
        masks = constraint.select(weights)
        return [Solution(weight.where(mask, 0.0), mask) for weight, mask in zip(weights, masks, strict=True)]
