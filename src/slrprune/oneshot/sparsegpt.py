"""SparseGPT: column after column, the columns to the right make good what is pruned."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from slrprune.errors import ArgumentError
from slrprune.oneshot.factor import damped_cholesky
from slrprune.oneshot.pieces import Pieces, pieces_of
from slrprune.oneshot.problem import LayerProblem, select
from slrprune.oneshot.solver import Solution, Solver, solution
from slrprune.sets.base import ConstraintSet


@dataclass(frozen=True)
class SparseGPT(Solver):
    """One sweep over the columns with optimal updates of those not yet visited.

    With U the upper Cholesky factor of the damped H^-1, column j is pruned where |W_ij| / U_jj is small, and the error
    E_i = (W_ij - V_ij) / U_jj is pushed into the later columns: W_i,k -= E_i U_jk for k > j. Cost: three factorizations
    of H, and the flops of one product with H.

    Args:
        blocksize: columns whose mask is chosen at once, at least 1.
        damping: added to the diagonal of H, as a fraction of its mean, above 0.

    Under `Unstructured` and `PerRow` every block of columns reaches the sparsity by itself, and under `NM` along the
    inputs every group is chosen when the sweep reaches it, both as published. A set that ties columns to each other in
    another way (blocks, channels, a budget for several layers) has its mask chosen before the sweep, from
    |W_ij| / sqrt((H^-1)_jj).

    Raises:
        ArgumentError: a blocksize below 1, a damping of 0 or less.

    Reference:
        E. Frantar, D. Alistarh, "SparseGPT: massive language models can be accurately pruned in one-shot", ICML 2023,
        algorithm 1.
    """

    blocksize: int = 128
    damping: float = 0.01

    def __post_init__(self) -> None:
        if self.blocksize < 1:
            raise ArgumentError("SparseGPT", "blocksize", self.blocksize, "must be at least 1")
        if not self.damping > 0:
            raise ArgumentError("SparseGPT", "damping", self.damping, "must be above 0")

    def solve_together(self, problems: Sequence[LayerProblem], constraint: ConstraintSet) -> list[Solution]:
        """One sweep per layer."""
        factors = [_factor(problem, self.damping) for problem in problems]
        pieces = pieces_of(problems, constraint, self.blocksize)
        if pieces is not None:
            masks: list[Tensor | None] = [None] * len(problems)
        else:
            # U^T U = H^-1: the norms of U's columns are the roots of its diagonal.
            scores = [p.target / f.norm(dim=-2, keepdim=True) for p, f in zip(problems, factors, strict=True)]
            masks = list(select(problems, constraint, scores))
        found = []
        for problem, factor, mask in zip(problems, factors, masks, strict=True):
            found.append(solution(problem, *_sweep(problem, factor, mask, pieces, self.blocksize)))
        return found


def _factor(problem: LayerProblem, damping: float) -> Tensor:
    """The upper U with U^T U = (H' + damping)^-1. The damping is that of the unscaled H, as published."""
    squares = problem.scale.squeeze(-2).square()
    added = torch.where(squares > 0, damping * squares.mean(-1, keepdim=True) / squares, 0.0)
    damped = problem.scaled_gram + torch.diag_embed(added)
    return damped_cholesky(torch.cholesky_inverse(damped_cholesky(damped))).mT


def _sweep(
    problem: LayerProblem, factor: Tensor, mask: Tensor | None, pieces: Pieces | None, blocksize: int
) -> tuple[Tensor, Tensor]:
    """V' and its mask, both (groups, outputs, inputs); the mask is given, or chosen in pieces.

    Columns of W' are rows here, so that a column is contiguous.
    """
    columns = problem.target.mT.contiguous()
    inputs = columns.shape[1]
    kept = torch.zeros_like(columns, dtype=torch.bool) if mask is None else mask.mT.contiguous()
    width = inputs if pieces is None else pieces.width
    blocksize = max(blocksize - blocksize % width, width) if pieces else blocksize
    for start in range(0, inputs, blocksize):
        end = min(inputs, start + blocksize)
        block, errors = columns[:, start:end], torch.empty_like(columns[:, start:end])
        local = factor[:, start:end, start:end]
        pivots = local.diagonal(dim1=-2, dim2=-1).unsqueeze(-1)
        for i in range(end - start):
            if pieces is not None and i % width == 0:
                part = slice(i, min(i + width, end - start))
                scores = (block[:, part] / pivots[:, part]).mT
                kept[:, start:end][:, part] = pieces.mask(scores, start + i).mT
            stays = kept[:, start + i]
            error = block[:, i].masked_fill(stays, 0.0).div_(pivots[:, i])
            errors[:, i] = error
            block[:, i].mul_(stays)
            block[:, i + 1 :].baddbmm_(local[:, i, i + 1 :].unsqueeze(-1), error.unsqueeze(1), alpha=-1)
        columns[:, end:].baddbmm_(factor[:, start:end, end:].mT, errors, alpha=-1)
    return columns.mT, kept.mT
