"""Constraint sets: where the weights must end up, one set per file."""

from slrprune.sets.base import ConstraintSet as ConstraintSet
from slrprune.sets.block import Block as Block
from slrprune.sets.channel import Channel as Channel
from slrprune.sets.column import Column as Column
from slrprune.sets.global_ import Global as Global
from slrprune.sets.intersection import Intersection as Intersection
from slrprune.sets.nm import NM as NM
from slrprune.sets.pattern import KernelPattern as KernelPattern
from slrprune.sets.unstructured import Unstructured as Unstructured
