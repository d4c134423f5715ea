"""Groups of weights that stay or go together: their energies, and the choice among them."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from slrprune.distributed.slices import Slice
from slrprune.errors import ArgumentError
from slrprune.sets.base import kept_count
from slrprune.sets.claims import Claim, Ranked, Summed
from slrprune.sets.topk import top_k


def squares(weight: Tensor) -> Tensor:
    """The squared entries in float64, whatever the dtype; in float32 on MPS, which has no float64.

    Double precision is not luxury: in float32 a weight of 1e-23, as weight decay leaves them, would count as zero, and
    a point of the set would not be its own projection.
    """
    wide = weight.to(torch.float32 if weight.device.type == "mps" else torch.float64)
    return wide * wide


def keep_strongest(weight: Tensor, grid: Sequence[int], dims: tuple[int, ...], sparsity: float) -> Tensor:
    """The mask of the groups with the most energy, the lowest index of equal ones (equation 5).

    Args:
        weight: any floating tensor.
        grid: a view of its shape in which every group fills the dimensions `dims` at one position of the others.
        dims: the dimensions inside a group.
        sparsity: fraction of the groups that go, in [0, 1).

    Returns:
        A bool mask of the shape of `weight`.
    """
    energies = group_energies(weight, grid, dims)
    kept = top_k([energies], kept_count(energies.numel(), sparsity))[0]
    return _spread(kept, grid, weight)


def claim_strongest(part: Slice, grid: Sequence[int], dims: tuple[int, ...], sparsity: float) -> Claim:
    """What `keep_strongest` decides, for a weight that is cut along dimension 0.

    Args:
        part: whole groups, or, where dimension 0 of the grid is inside a group, a part of every group.
        grid: of the whole weight, as in `keep_strongest`.
        dims: as in `keep_strongest`.
        sparsity: as in `keep_strongest`.
    """
    groups = math.prod(size for dim, size in enumerate(grid) if dim not in dims)
    rows = part.tensor.shape[0] * grid[0] // max(1, part.shape[0])
    local = (rows, *grid[1:])
    energies, kept = group_energies(part.tensor, local, dims), kept_count(groups, sparsity)

    def finish(masks: list[Tensor]) -> list[Tensor]:
        return [_spread(masks[0], local, part.tensor)]

    if 0 in dims:
        return Summed(energies, kept, finish)
    return Ranked([energies], kept, groups, finish=finish)


def group_energies(weight: Tensor, grid: Sequence[int], dims: tuple[int, ...]) -> Tensor:
    """Sums of squares over the groups, of size 1 in their dimensions; arguments as for `keep_strongest`."""
    squared = squares(weight).reshape(tuple(grid))
    return squared.sum(dims, keepdim=True) if dims else squared


def _spread(kept: Tensor, grid: Sequence[int], weight: Tensor) -> Tensor:
    """The mask of the weight from that of its groups."""
    return kept.expand(tuple(grid)).reshape(weight.shape).clone(memory_format=torch.contiguous_format)


def check_dim(owner: str, dim: int) -> None:
    """Raises `ArgumentError` unless `dim` is a whole number; which ones there are depends on the weight."""
    if isinstance(dim, bool) or not isinstance(dim, int):
        raise ArgumentError(owner, "dim", dim, "must be a whole number")


def resolve_dim(dim: int, ndim: int) -> int | None:
    """`dim` counted from 0, or None where a tensor of `ndim` dimensions does not have it."""
    resolved = dim + ndim if dim < 0 else dim
    return resolved if 0 <= resolved < ndim else None


def swap_dim(dim: int) -> int | None:
    """The dimension in weights stored as (in, out, ...) of what is `dim` in (out, in, ...); None for dim < 0.

    From the end it depends on the number of dimensions, which is not known here.
    """
    return None if dim < 0 else {0: 1, 1: 0}.get(dim, dim)
