"""Constraint sets: where the weights must end up, one set per file."""

from slrprune.sets.base import ConstraintSet
from slrprune.sets.block import Block
from slrprune.sets.channel import Channel
from slrprune.sets.column import Column
from slrprune.sets.global_ import Global
from slrprune.sets.intersection import Intersection
from slrprune.sets.nm import NM
from slrprune.sets.pattern import KernelPattern
from slrprune.sets.unstructured import Unstructured

__all__ = [
    "NM",
    "Block",
    "Channel",
    "Column",
    "ConstraintSet",
    "Global",
    "Intersection",
    "KernelPattern",
    "Unstructured",
]
