"""What a solver of the layer problem is."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from slrprune.oneshot.problem import LayerProblem
from slrprune.sets.base import ConstraintSet


@dataclass(frozen=True, eq=False)
class Solution:
    """A sparse weight for one layer.

    Args:
        weight: V, in the set: shape, dtype and device of the layer's weight.
        mask: bool, True = kept; `weight` is zero where it is False.
        iterations: of the solver; 0 where it does not iterate.
        is_converged: whether a stop rule ended the iterations, rather than their limit.
    """

    weight: Tensor
    mask: Tensor
    iterations: int = 0
    is_converged: bool = True


class Solver(ABC):
    """Solves minimise tr((W - V) H (W - V)^T) over V in S, exactly or not.

    A concrete solver is a frozen dataclass of its settings. It changes neither the problem nor itself, and it is
    deterministic: equal problems have equal solutions.
    """

    @abstractmethod
    def solve_together(self, problems: Sequence[LayerProblem], constraint: ConstraintSet) -> list[Solution]:
        """The solutions of layers that share one joint set; of a single layer for any other set.

        Args:
            problems: the layers, in the order in which the set knows them.
            constraint: the set, for weights as stored.
        """

    def solve(self, problem: LayerProblem, constraint: ConstraintSet) -> Solution:
        """The solution of one layer.

        Raises:
            ShapeError: a weight that the set cannot take.
        """
        constraint.check(problem.name, problem.weight.shape)
        with torch.no_grad():
            return self.solve_together([problem], constraint)[0]


def solution(
    problem: LayerProblem, point: Tensor, mask: Tensor, iterations: int = 0, is_converged: bool = True
) -> Solution:
    """The `Solution` of a point of the scaled problem and its mask, both as matrices."""
    weight = problem.unscaled(torch.where(mask, point, 0.0))
    stored = problem.layout.stored(mask, problem.weight.shape)
    return Solution(weight, stored, iterations, is_converged)
