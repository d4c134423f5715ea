"""How SparseGPT chooses the mask of some columns when its sweep reaches them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from slrprune.oneshot.layout import LinearLayout
from slrprune.oneshot.per_row import PerRow
from slrprune.oneshot.problem import LayerProblem
from slrprune.sets.base import ConstraintSet, kept_count
from slrprune.sets.nm import NM
from slrprune.sets.topk import top_k
from slrprune.sets.unstructured import Unstructured


class Pieces(ABC):
    """A set whose mask can be chosen piece by piece of columns."""

    width: int
    """Columns of a piece."""

    @abstractmethod
    def mask(self, scores: Tensor, start: int) -> Tensor:
        """The mask of the columns from `start` on.

        Args:
            scores: (groups, outputs, columns), at most `width` columns.
            start: the first of them.
        """


@dataclass(frozen=True)
class LayerPieces(Pieces):
    """`Unstructured`: every piece has its share of the layer's count, and the shares add up to it exactly."""

    width: int
    inputs: int
    kept: int

    def mask(self, scores: Tensor, start: int) -> Tensor:
        """The largest of the piece."""
        return top_k([scores], _share(self.kept, start, scores.shape[-1], self.inputs))[0]


@dataclass(frozen=True)
class RowPieces(Pieces):
    """`PerRow`: the same, row by row."""

    width: int
    inputs: int
    kept: int

    def mask(self, scores: Tensor, start: int) -> Tensor:
        """The largest of every row of the piece."""
        count = _share(self.kept, start, scores.shape[-1], self.inputs)
        best = scores.abs().topk(count, dim=-1).indices
        return torch.zeros_like(scores, dtype=torch.bool).scatter_(-1, best, True)


@dataclass(frozen=True)
class GroupPieces(Pieces):
    """`NM` along the inputs: a piece is one group of every row."""

    constraint: NM

    @property
    def width(self) -> int:  # type: ignore[override]  # m is where the number lives
        """m."""
        return self.constraint.m

    def mask(self, scores: Tensor, start: int) -> Tensor:
        """The n largest of every row."""
        return self.constraint.select_one(scores[0]).unsqueeze(0)


def pieces_of(problems: Sequence[LayerProblem], constraint: ConstraintSet, blocksize: int) -> Pieces | None:
    """The pieces of a set, None where its mask has to be chosen for all columns at once."""
    problem = problems[0]
    inputs = problem.target.shape[-1]
    is_linear = isinstance(problem.layout, LinearLayout)
    if isinstance(constraint, Unstructured):
        return LayerPieces(blocksize, inputs, kept_count(problem.weight.numel(), constraint.sparsity))
    if is_linear and isinstance(constraint, PerRow):
        return RowPieces(blocksize, inputs, kept_count(inputs, constraint.sparsity))
    if is_linear and isinstance(constraint, NM) and constraint.dim in (1, -1) and constraint.fraction == 1:
        return GroupPieces(constraint)
    return None


def _share(total: int, start: int, width: int, inputs: int) -> int:
    return total * (start + width) // inputs - total * start // inputs
