"""The alternating direction method of multipliers, the classic rival."""

from dataclasses import dataclass, field
from typing import ClassVar

import torch

from slrprune.methods.base import MethodState, Moment, Observation, Problem
from slrprune.methods.lagrangian import (
    LagrangianMethod,
    commit,
    mean_loss_,
    observed,
    project,
    start_mean_loss,
    take_mean_loss,
    terms,
)
from slrprune.methods.schedule import CubicRamp, GeometricPenalty, Penalty, Ramp


@dataclass(frozen=True, kw_only=True)
class ADMM(LagrangianMethod):
    """ADMM pruning: multipliers move by the full residual times rho, without any condition.

    One update (docs/theory.md, eq. 21); the W step is the training between two updates:

        1. Z = Proj_S(W + Lambda/rho)
        2. Lambda = Lambda + rho (W - Z)

    Memory: Z and Lambda, 8 bytes for each pruned float32 weight.

    Args:
        penalty: rho, a number or a `Penalty` over the run.
        interval: optimizer steps of one W step.
        ramp: how the sparsity grows; `NoRamp()` is the published form.
        coupled: see `LagrangianMethod`.

    Reference:
        Zhang et al., "A systematic DNN weight pruning framework using ADMM", ECCV 2018.
    """

    penalty: Penalty | float = field(default_factory=lambda: GeometricPenalty(0.1, 10.0))
    interval: int = 20
    ramp: Ramp = field(default_factory=CubicRamp)

    loss_kind: ClassVar[str] = "mean mini-batch loss since the last update"

    def start(self, problem: Problem) -> MethodState:
        """Z = Proj_S(W), Lambda = 0."""
        progress = self.ramp.progress(0.0)
        auxiliary = project(problem, [weight.detach() for weight in problem.weights], progress)
        multipliers = [torch.zeros_like(weight) for weight in auxiliary]
        state = MethodState({"auxiliary": auxiliary, "multipliers": multipliers}, progress=progress)
        start_mean_loss(state, problem.device)
        return state

    def hold(self, problem: Problem, state: MethodState, moment: Moment) -> None:
        """The proximal pull of one optimizer step, part of the W step."""
        mean_loss_(state, moment)
        super().hold(problem, state, moment)

    def update(self, problem: Problem, state: MethodState, moment: Moment) -> Observation:
        """One update; see the class."""
        self.hold(problem, state, moment)
        state.iteration += 1
        rho, progress = self.rho(moment.time), self.ramp.progress(moment.time)
        weights = [weight.detach() for weight in problem.weights]
        before, multipliers = state.tensors["auxiliary"], state.tensors["multipliers"]
        pairs = zip(weights, multipliers, strict=True)
        auxiliary = project(problem, [torch.add(weight, values, alpha=1 / rho) for weight, values in pairs], progress)
        layers = zip(multipliers, weights, auxiliary, strict=True)
        moved = [values + rho * (weight - z) for values, weight, z in layers]
        fields = observed(problem, before, auxiliary, rho, terms(weights, auxiliary, None, world=problem.world).norm)
        commit(state, "auxiliary", auxiliary, moment.is_usable)
        commit(state, "multipliers", moved, moment.is_usable)
        state.progress = progress
        return Observation({"penalty": rho, "stepsize": rho}, {"loss": take_mean_loss(state), **fields})
