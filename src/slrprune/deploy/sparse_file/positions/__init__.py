"""Codings of positions, one per file."""

from slrprune.deploy.sparse_file.positions.base import Indices, Positions
from slrprune.deploy.sparse_file.positions.bitmask import Bitmask
from slrprune.deploy.sparse_file.positions.gaps import Gaps

__all__ = ["Bitmask", "Gaps", "Indices", "Positions"]
