"""Constraint sets: where the weights must end up."""

from slrprune.sets.base import ConstraintSet as ConstraintSet
from slrprune.sets.global_ import Global as Global
from slrprune.sets.unstructured import Unstructured as Unstructured
