"""One cut, then masked fine-tuning: the baseline every older toolkit offers."""

from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from slrprune.errors import ArgumentError
from slrprune.methods.base import (
    Method,
    MethodState,
    Moment,
    Observation,
    Problem,
    all_true,
    mask_counts,
    unless_unusable,
)
from slrprune.methods.masked import keep_
from slrprune.methods.schedule import NoRamp, Ramp


@dataclass(frozen=True, kw_only=True)
class OneShot(Method):
    """Cuts to the target after the first step and keeps the zeros; `finalize` without any step is the bare cut.

    Memory: the mask, one byte for each pruned weight.

    Args:
        interval: ignored after the first update, since the mask no longer moves.
        ramp: must be `NoRamp()`, there is only one cut.
    """

    interval: int = 1
    ramp: Ramp = field(default_factory=NoRamp)

    needs_training: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.ramp, NoRamp):
            way_out = "A ramp of cuts is GradualMagnitude."
            raise ArgumentError("OneShot", "ramp", self.ramp, "must be NoRamp(): there is only one cut", way_out)

    def start(self, problem: Problem) -> MethodState:
        """Everything is kept."""
        return MethodState({"mask": all_true(problem.weights)})

    def hold(self, problem: Problem, state: MethodState, moment: Moment) -> None:
        """Zeros stay zero."""
        for weight, mask in zip(problem.weights, state.tensors["mask"], strict=True):
            keep_(weight, mask)

    def update(self, problem: Problem, state: MethodState, moment: Moment) -> Observation:
        """The cut, at the first update; afterwards the mask is only held."""
        old = state.tensors["mask"]
        if state.progress < 1:
            masks = problem.masks([weight.detach() for weight in problem.weights], 1.0)
            state.tensors["mask"], state.progress = unless_unusable(masks, old, moment.is_usable), 1.0
        state.iteration += 1
        self.hold(problem, state, moment)
        counts = mask_counts(old, state.tensors["mask"], problem.device, problem)
        return Observation({}, {"loss": moment.loss, **counts})

    def masks(self, problem: Problem, state: MethodState) -> list[Tensor]:
        """The mask of the cut; everything before it."""
        return state.tensors["mask"]

    def final_masks(self, problem: Problem, state: MethodState) -> list[Tensor]:
        """The mask of the cut."""
        return state.tensors["mask"] if state.progress >= 1 else problem.masks(problem.weights, 1.0)
