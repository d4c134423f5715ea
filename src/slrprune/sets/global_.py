"""One budget for all tensors together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from torch import Tensor, nn

from slrprune.budget import ERK, LAMP, Allocation, Magnitude, Uniform
from slrprune.errors import ArgumentError, UsageError
from slrprune.sets.base import ConstraintSet, check_progress, check_sparsity, kept_count

ALLOCATIONS: dict[str, type[Allocation]] = {"magnitude": Magnitude, "lamp": LAMP, "erk": ERK, "uniform": Uniform}


@dataclass(frozen=True)
class Global(ConstraintSet):
    is_joint: ClassVar[bool] = True

    sparsity: float | None = None
    params: int | None = field(default=None, kw_only=True)
    macs: int | None = field(default=None, kw_only=True)
    bytes: int | None = field(default=None, kw_only=True)
    example_input: Any = field(default=None, kw_only=True, compare=False, repr=False)
    allocation: Allocation | str = field(default="magnitude", kw_only=True)
    floor: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if self.sparsity is not None:
            check_sparsity("Global", self.sparsity)

    def at(self, progress: float) -> "Global":
        check_progress("Global.at", progress)
        return replace(self, sparsity=progress * (self.sparsity or 0.0))

    def select(self, weights: Sequence[Tensor]) -> list[Tensor]:
        numels = [w.numel() for w in weights]
        kept = max(kept_count(sum(numels), self.sparsity or 0.0), sum(n > 0 for n in numels))
        allocation = ALLOCATIONS[self.allocation]() if isinstance(self.allocation, str) else self.allocation
        return allocation.select(weights, kept)
