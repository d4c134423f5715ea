"""A rank's part of a weight that is cut along dimension 0."""

import math
from dataclasses import dataclass

from torch import Tensor

from slrprune.errors import ShapeError


@dataclass(frozen=True, eq=False)
class Slice:
    """Some consecutive rows of a weight; the rows of a rank follow those of the ranks before it.

    Attributes:
        tensor: the rows, (rows, *shape[1:]); a rank may have none.
        shape: of the whole weight.
    """

    tensor: Tensor
    shape: tuple[int, ...]

    @property
    def numel(self) -> int:
        """Entries of the whole weight."""
        return math.prod(self.shape)


def rows_per_rank(rows: int, ranks: int) -> int:
    """Rows of every full slice: DTensor's `Shard` gives ceil(rows / ranks) to each rank until none are left."""
    return -(-rows // ranks)


def refuse_straddling(name: str, what: str, size: int, shape: tuple[int, ...], ranks: int) -> None:
    """Raises `ShapeError` where groups of `size` rows do not lie within one slice each.

    Args:
        name: of the parameter.
        what: the set, as the message calls it.
        size: rows of a group.
        shape: of the whole weight.
        ranks: over which it is cut.
    """
    rows = rows_per_rank(shape[0], ranks)
    if rows < shape[0] and rows % size:
        rule = f"{what} has groups of {size} rows, which do not lie within slices of {rows} rows on {ranks} ranks"
        way_out = f"Group along another dimension, take ranks that get a multiple of {size} rows, or leave {name} out."
        raise ShapeError(name, rule, shape, way_out)
