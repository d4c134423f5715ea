"""Cholesky factors of matrices that ought to be positive definite."""

import torch
from torch import Tensor

_FIRST, _GROWTH, _LAST = 1e-6, 10.0, 1.0


def damped_cholesky(matrix: Tensor) -> Tensor:
    """The lower Cholesky factor, with as little damping as it takes.

    An H of long float32 sums, or of fewer samples than inputs, is positive semidefinite only up to rounding. Where the
    factorization of a batch fails, the diagonal is raised by 1e-6, and by ten times more until it succeeds.

    Args:
        matrix: (..., n, n), symmetric, with a diagonal of about 1 or more.

    Returns:
        The factor of `matrix` plus the damping.
    """
    factor: Tensor
    factor, failed = torch.linalg.cholesky_ex(matrix)
    damping = _FIRST
    while bool(failed.any()) and damping <= _LAST:
        raised = matrix.clone()
        raised.diagonal(dim1=-2, dim2=-1).add_(damping)
        factor, failed = torch.linalg.cholesky_ex(raised)
        damping *= _GROWTH
    return factor
