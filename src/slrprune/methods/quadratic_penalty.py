"""The quadratic penalty method: the splitting without multipliers."""

from dataclasses import dataclass, field
from typing import ClassVar

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
class QuadraticPenalty(LagrangianMethod):
    """Draws the weights to their own projection with growing force: min f(W) + rho/2 dist(W, S)^2.

    One update: Z = Proj_S(W). Between updates the weights are drawn to Z (docs/theory.md, eq. 22).

    Memory: Z, 4 bytes for each pruned float32 weight.

    Args:
        penalty: rho, a number or a `Penalty` over the run.
        interval: optimizer steps between two projections.
        ramp: how the sparsity grows.
        coupled: see `LagrangianMethod`.

    Reference:
        Nocedal and Wright, Numerical Optimization, section 17.1.
    """

    penalty: Penalty | float = field(default_factory=lambda: GeometricPenalty(0.1, 10.0))
    interval: int = 20
    ramp: Ramp = field(default_factory=CubicRamp)

    loss_kind: ClassVar[str] = "mean mini-batch loss since the last update"

    def start(self, problem: Problem) -> MethodState:
        """Z = Proj_S(W)."""
        progress = self.ramp.progress(0.0)
        auxiliary = project(problem, [weight.detach() for weight in problem.weights], progress)
        state = MethodState({"auxiliary": auxiliary}, progress=progress)
        start_mean_loss(state, problem.device)
        return state

    def hold(self, problem: Problem, state: MethodState, moment: Moment) -> None:
        """The proximal pull of one optimizer step."""
        mean_loss_(state, moment)
        super().hold(problem, state, moment)

    def update(self, problem: Problem, state: MethodState, moment: Moment) -> Observation:
        """One projection; see the class."""
        self.hold(problem, state, moment)
        state.iteration += 1
        rho, progress = self.rho(moment.time), self.ramp.progress(moment.time)
        weights, before = [weight.detach() for weight in problem.weights], state.tensors["auxiliary"]
        auxiliary = project(problem, weights, progress)
        fields = observed(problem, before, auxiliary, rho, terms(weights, auxiliary, None, world=problem.world).norm)
        commit(state, "auxiliary", auxiliary, moment.is_usable)
        state.progress = progress
        return Observation({"penalty": rho}, {"loss": take_mean_loss(state), **fields})
