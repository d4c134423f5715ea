"""Surrogate Lagrangian relaxation as published: Gurevin et al., IJCAI 2021; Zhou et al., arXiv 2304.04120."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import ClassVar

import torch
from torch import Tensor

from slrprune.distributed.world import World
from slrprune.errors import ArgumentError
from slrprune.methods.base import MethodState, Moment, Observation, Problem, total
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
from slrprune.methods.schedule import GeometricPenalty, NoRamp, Penalty, Ramp
from slrprune.methods.stepsize import alpha, check_alpha, ratio


class Numerator(Enum):
    """What the second stepsize ratio compares the new residual with."""

    PREVIOUS_DIRECTION = "||W_k - Z_{k-1}||, the direction just used (the pruning code)"
    PREVIOUS_ITERATE = "||W_{k-1} - Z_{k-1}|| in both half-steps (the quantisation code)"


class Counting(Enum):
    """What k counts in alpha_k."""

    HALF_STEPS = "successful multiplier half-steps (the pruning code)"
    ITERATIONS = "iterations, successful or not (the paper)"


class OnFailure(Enum):
    """What follows a surrogate condition that does not hold."""

    KEEP = "multipliers, stepsize and, if the first failed, Z stay (the paper)"
    PROJECT = "multipliers and stepsize stay, Z is projected all the same (the pruning code)"
    ROLLBACK = "as KEEP; a failing second condition also takes the first half-step back (the quantisation code)"


@dataclass(frozen=True, kw_only=True)
class ClassicSLR(LagrangianMethod):
    """The published method: two multiplier half-steps per iteration, each behind a surrogate optimality condition.

    Iteration k (docs/theory.md, eq. 6 to 12); the W step is the training between two updates:

        1. condition 1:   L(W_k, Z_{k-1}, Lambda_k) < L(W_{k-1}, Z_{k-1}, Lambda_k)
        2. s' = alpha_k s ||W_{k-1} - Z_{k-1}|| / ||W_k - Z_{k-1}||;   Lambda' = Lambda + s' (W_k - Z_{k-1})
        3. Z_k = Proj_S(W_k + Lambda'/rho)
        4. condition 2:   L(W_k, Z_k, Lambda') < L(W_k, Z_{k-1}, Lambda')                       f cancels
        5. s = alpha_k s' ||W_k - Z_{k-1}|| / ||W_k - Z_k||;   Lambda = Lambda' + s (W_k - Z_k)

    Both conditions count as satisfied at k = 1, as in the authors' code. Values at W_{k-1} are kept as two numbers
    taken when iteration k - 1 ended, so no copy of W_{k-1} is needed and none can alias the live weights.

    f in condition 1 is `probe()` at the weights in question where the pruner has a probe; otherwise it is the mean of
    the mini-batch losses since the last update, at moving weights: an average, and recorded as such.

    Memory: Z and Lambda, 8 bytes for each pruned float32 weight.

    Args:
        s0: the first stepsize of the multipliers, positive.
        M: > 1, see `alpha`.
        r: in (0, 1), see `alpha`.
        penalty: rho, a number or a `Penalty` over the run.
        interval: optimizer steps of one W step. Published: one epoch; shorter is better at small budgets.
        ramp: published: none.
        coupled: see `LagrangianMethod`.
        numerator: what the second stepsize ratio compares with; this and the next two are where the sources disagree.
        counting: what k counts.
        on_failure: what follows a condition that does not hold.
        summed_norms: norms as the sum over layers (the authors' code) instead of the norm of the stacked vector.
    """

    s0: float = 0.01
    M: float = 300.0
    r: float = 0.1
    penalty: Penalty | float = field(default_factory=lambda: GeometricPenalty(0.1, 10.0))
    interval: int = 20
    ramp: Ramp = field(default_factory=NoRamp)
    numerator: Numerator = Numerator.PREVIOUS_DIRECTION
    counting: Counting = Counting.HALF_STEPS
    on_failure: OnFailure = OnFailure.PROJECT
    summed_norms: bool = False

    loss_kind: ClassVar[str] = "probe, or the mean mini-batch loss since the last update"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.s0 > 0:
            raise ArgumentError("ClassicSLR", "s0", self.s0, "must be positive")
        check_alpha("ClassicSLR", self.M, self.r)

    def start(self, problem: Problem) -> MethodState:
        """Z_0 = Proj_S(W_0), Lambda_1 = 0, s_0."""
        auxiliary = project(problem, [weight.detach() for weight in problem.weights], self.ramp.progress(0.0))
        multipliers = [torch.zeros_like(weight) for weight in auxiliary]
        state = MethodState({"auxiliary": auxiliary, "multipliers": multipliers}, progress=self.ramp.progress(0.0))
        start = terms(problem.weights, auxiliary, None, self.summed_norms, problem.world)

        def scalar(value: float) -> Tensor:
            return torch.full((), value, dtype=torch.float64, device=problem.device)

        state.scalars = {
            "stepsize": scalar(self.s0),
            "k": scalar(1.0),
            "loss": scalar(float("inf")),
            "inner": scalar(0.0),
            "squared": start.squared,
            "norm": start.norm,
        }
        start_mean_loss(state, problem.device)
        return state

    def hold(self, problem: Problem, state: MethodState, moment: Moment) -> None:
        """The proximal pull of one optimizer step, part of the W step."""
        mean_loss_(state, moment)
        super().hold(problem, state, moment)

    def update(self, problem: Problem, state: MethodState, moment: Moment) -> Observation:
        """One iteration; the numbers in the comments are those of the class."""
        self.hold(problem, state, moment)
        state.iteration += 1
        rho, progress = self.rho(moment.time), self.ramp.progress(moment.time)
        weights = [weight.detach() for weight in problem.weights]
        before, old = state.tensors["auxiliary"], state.scalars
        mean = take_mean_loss(state)
        loss = mean if moment.probe is None else moment.probe()  # after the pull: f at W_k itself
        half = terms(weights, before, state.tensors["multipliers"], self.summed_norms, problem.world)

        # 1. Both sides at the same multipliers and the same rho.
        first = loss + half.value(rho) < old["loss"] + old["inner"] + rho / 2 * old["squared"]
        first = first | (state.iteration == 1)
        # 2.
        k = old["k"] if self.counting is Counting.HALF_STEPS else torch.full_like(old["k"], float(state.iteration))
        s_next = alpha(k, self.M, self.r) * old["stepsize"] * ratio(old["norm"], half.norm)
        s_half = torch.where(first, s_next, old["stepsize"])
        multipliers = _moved(state.tensors["multipliers"], weights, before, torch.where(first, s_half, 0.0))
        # 3.
        auxiliary = project(problem, _shifted(weights, multipliers, 1 / rho), progress)
        if self.on_failure is not OnFailure.PROJECT:
            auxiliary = [torch.where(first, z, z_before) for z, z_before in zip(auxiliary, before, strict=True)]
        # 4.
        second = (_change(weights, multipliers, auxiliary, before, rho, problem.world) < 0) | (state.iteration == 1)
        # 5.
        k_half = k + first if self.counting is Counting.HALF_STEPS else k
        full = terms(weights, auxiliary, None, self.summed_norms, problem.world)
        numerator = half.norm if self.numerator is Numerator.PREVIOUS_DIRECTION else old["norm"]
        s = torch.where(second, alpha(k_half, self.M, self.r) * s_half * ratio(numerator, full.norm), s_half)
        multipliers = _moved(multipliers, weights, auxiliary, torch.where(second, s, 0.0))
        k_next = k_half + second if self.counting is Counting.HALF_STEPS else k
        if self.on_failure is OnFailure.ROLLBACK:
            pairs = zip(multipliers, state.tensors["multipliers"], strict=True)
            multipliers = [torch.where(second, new, kept) for new, kept in pairs]
            s, k_next = torch.where(second, s, old["stepsize"]), torch.where(second, k_next, k)

        fields = observed(problem, before, auxiliary, rho, full.squared.sqrt())
        after = terms(weights, auxiliary, multipliers, self.summed_norms, problem.world)
        scalars = {"stepsize": s, "k": k_next, "loss": loss, "inner": after.inner, "squared": after.squared}
        self._commit(state, moment, auxiliary, multipliers, {**scalars, "norm": after.norm})
        state.progress = progress
        conditions = {"first_condition": first.double(), "second_condition": second.double()}
        return Observation(host={"penalty": rho}, device={"loss": loss, "stepsize": s, **conditions, **fields})

    def _commit(
        self,
        state: MethodState,
        moment: Moment,
        auxiliary: Sequence[Tensor],
        multipliers: Sequence[Tensor],
        scalars: dict[str, Tensor],
    ) -> None:
        commit(state, "auxiliary", auxiliary, moment.is_usable)
        commit(state, "multipliers", multipliers, moment.is_usable)
        for name, value in scalars.items():
            usable = moment.is_usable
            state.scalars[name] = value if usable is None else torch.where(usable, value, state.scalars[name])


def _moved(
    multipliers: Sequence[Tensor], weights: Sequence[Tensor], auxiliary: Sequence[Tensor], stepsize: Tensor
) -> list[Tensor]:
    """Lambda + s (W - Z)."""
    layers = zip(multipliers, weights, auxiliary, strict=True)
    return [values + stepsize.to(values.dtype) * (weight - z) for values, weight, z in layers]


def _shifted(weights: Sequence[Tensor], multipliers: Sequence[Tensor], scale: float) -> list[Tensor]:
    """W + Lambda/rho."""
    return [torch.add(weight, values, alpha=scale) for weight, values in zip(weights, multipliers, strict=True)]


def _change(
    weights: Sequence[Tensor],
    multipliers: Sequence[Tensor],
    new: Sequence[Tensor],
    old: Sequence[Tensor],
    rho: float,
    world: World,
) -> Tensor:
    """L(W, Z_k, Lambda') - L(W, Z_{k-1}, Lambda'), without f, which cancels.

    With V = W + Lambda'/rho both sides are rho/2 ||V - Z||^2 up to a constant; the difference of the two squares is
    summed entry by entry, so that it does not drown in the rounding of two large numbers.
    """
    parts = []
    for point, z_new, z_old in zip(_shifted(weights, multipliers, 1 / rho), new, old, strict=True):
        parts.append(((z_old - z_new) * (2 * point - z_new - z_old)).sum(dtype=torch.float64))
    return rho / 2 * total(parts, weights[0].device, world)
