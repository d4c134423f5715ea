"""Gradual magnitude pruning, the rival that is hard to beat."""

from dataclasses import dataclass, field

from torch import Tensor

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
from slrprune.methods.schedule import CubicRamp, Ramp


@dataclass(frozen=True, kw_only=True)
class GradualMagnitude(Method):
    """Cuts the smallest weights along a cubic ramp and keeps them at zero; the rest of the run is masked fine-tuning.

    Memory: the mask, one byte for each pruned weight.

    Args:
        interval: optimizer steps between two cuts. 10 is too coarse for short runs (docs/ablation.md).
        ramp: how the sparsity grows.

    Reference:
        Zhu and Gupta, "To prune, or not to prune", arXiv 1710.01878.
    """

    interval: int = 1
    ramp: Ramp = field(default_factory=CubicRamp)

    def start(self, problem: Problem) -> MethodState:
        """Everything is kept."""
        return MethodState({"mask": all_true(problem.weights)})

    def hold(self, problem: Problem, state: MethodState, moment: Moment) -> None:
        """Zeros stay zero, whatever the optimizer's momentum did."""
        for weight, mask in zip(problem.weights, state.tensors["mask"], strict=True):
            keep_(weight, mask)

    def update(self, problem: Problem, state: MethodState, moment: Moment) -> Observation:
        """The next cut."""
        self.hold(problem, state, moment)
        state.iteration += 1
        old, progress = state.tensors["mask"], self.ramp.progress(moment.time)
        masks = problem.masks([weight.detach() for weight in problem.weights], progress)
        masks = unless_unusable(masks, old, moment.is_usable)
        state.tensors["mask"], state.progress = masks, progress
        self.hold(problem, state, moment)
        return Observation({}, {"loss": moment.loss, **mask_counts(old, masks, problem.device, problem)})

    def masks(self, problem: Problem, state: MethodState) -> list[Tensor]:
        """The masks of the last cut."""
        return state.tensors["mask"]

    def final_masks(self, problem: Problem, state: MethodState) -> list[Tensor]:
        """The masks of the last cut, or, before the target was reached, those of the full target."""
        return state.tensors["mask"] if state.progress >= 1 else problem.masks(problem.weights, 1.0)
