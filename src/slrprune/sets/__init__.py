"""Constraint sets: where the weights must end up, one set per file."""

from slrprune.sets.base import ConstraintSet, PerTensorSet, check_progress, check_sparsity, kept_count
from slrprune.sets.block import Block
from slrprune.sets.channel import Channel
from slrprune.sets.column import Column
from slrprune.sets.global_ import Global
from slrprune.sets.groups import keep_strongest
from slrprune.sets.intersection import Intersection
from slrprune.sets.nm import NM
from slrprune.sets.pattern import KernelPattern
from slrprune.sets.topk import top_k
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
    "PerTensorSet",
    "Unstructured",
    "check_progress",
    "check_sparsity",
    "keep_strongest",
    "kept_count",
    "top_k",
]
