"""Feasible-start surrogate Lagrangian relaxation, the default method."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
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
    stacked_norms,
    unless_unusable,
)
from slrprune.methods.crowding import adapt_shares, crowds, no_crowding, remember_largest, shares
from slrprune.methods.garrote import (
    network_points,
    no_degree,
    no_thresholds,
    no_thresholds_of_entries,
    relaxed,
    remember_degree,
    remember_thresholds,
)
from slrprune.methods.masked import choose, only
from slrprune.methods.schedule import CubicRamp, Ramp
from slrprune.methods.stepsize import RelativeStepsize, as_stepsize, check_stepsize
from slrprune.methods.surrogate import (
    holds,
    next_relaxation,
    observe_loss,
    present_relaxation,
    start_scalars,
)
from slrprune.methods.units import forget_units, of_units, trusted_units


@dataclass(frozen=True, kw_only=True)
class SLR(Method):
    """Surrogate Lagrangian relaxation started from the feasible point in every subproblem.

    The network always computes with the sparse weights Z; what the projection cut off is kept in R, the scaled
    multipliers. With M the mask of Z's support (docs/theory.md, eq. 14 to 18) and V = Z + R:

        every step      W' = one optimizer step from Z on f             improve the subproblem, from a feasible point
                        A += W' - Z;  off the support W' <- 0           collect the residual
        every interval  V += A on the support, V += sigma A off it      multiplier step (sigma of each step's time)
                        M = support of Proj_S(V)                        exact cardinality subproblem
                        Z = M V, shrunk near the threshold;  R = V - Z, and 0 in units of which nothing is left

    After every step the model is sparse at the ramp's present level: it may be evaluated, saved, or stopped at any
    moment, and the hard cut at the end changes nothing. sigma = 1 with `trust=None` and
    `garrote=None` is dynamic pruning with feedback (Lin et al. 2020), which can lose a network; below 1 the multipliers
    move more carefully than ADMM's unit step.

    Kept entries come and go near zero (docs/theory.md, eq. 27): Z = V (1 - (t / |V|)^d), the garrote, with t the
    largest |V| that was cut in the same weight, and norms of blocks in place of |V| under `Block`. The support and its
    count are the projection's. Without it a weight that enters jumps from zero to the threshold and one that leaves
    jumps back, which costs accuracy where many change places: with one sparsity in every layer, and with blocks. d
    follows the length of the run, the power of two nearest to `garrote` / total steps and at least 8: in short runs an
    entry has to get through the range where it is shrunk, about t / d, in fewer steps. Where groups decide alone (`NM`,
    `KernelPattern`) every entry has a t of its own, at which its group would let it go (eq. 28); a group that begins to
    obey while the ramp spreads the pattern still jumps, as do whole kernels under connectivity. Whole channels and
    columns, and intersections of sets, are not shrunk.

    Not every multiplier moves (docs/theory.md, eq. 25): those of a unit (filter, neuron) stand still where nothing of
    it is on the support, or where its slopes off the support are more than `trust` times those on it. R takes a slope
    to hold all the way to the threshold. Under BatchNorm a filter that is zero, or computes a constant, has slopes a
    hundred times too large that are gone at once. Without the rule such memories take the places of a whole classifier
    within a few steps under a global budget of 98%, and nothing comes back (docs/ablation.md). Between updates the step
    on the support counts from the last update, so that a longer interval trusts more. A unit of which nothing is left
    on the support is gone for good (eq. 26); under a set that removes whole units (`Channel`) this is
    `GradualMagnitude`.

    Memory: one dense tensor D = V (float32 for 16-bit weights, else the weight's dtype) and one byte of mask for
    each pruned weight: 5 bytes for float32 and for bfloat16; where groups decide alone one more tensor for thresholds,
    9 bytes. A is added to R as it comes.

    The optimizer's weight decay acts on Z alone. `decay` shrinks the memory R instead; it puts back the term that the
    feasible start drops from the exact Lagrangian gradient (docs/theory.md, section 5).

    Surrogate condition 1 compares averages of the mini-batch loss over about 20 and 200 steps: it holds where the short
    one is below the long one, that is, where the subproblem is being improved. It is recorded, and steers nothing by
    default. With a `tolerance`, while it fails, a multiplier step may lift few entries of each weight above the largest
    multiplier that the last projection left: one, or the fraction `tolerance` of the weight's support if that is more
    (eq. 24). If it would lift more, that weight's step is refused: its R stays as it is, and its next step is half as
    long; a step that is taken is followed by one of twice the length, sigma at most. A record's stepsize is the mean
    over the weights. Between updates each optimizer step's part of A is judged by itself; the length changes with an
    update. The published method compares the Lagrangian itself and waits whenever the condition fails (docs/theory.md,
    section 6, on this proxy). A `RelaxedPath` with slack waits for the condition, too. Accelerators decide on the
    device. There is no second condition: Z minimizes its subproblem exactly (for eq. 27 one with a penalty of its own).

    Args:
        sigma: multiplier stepsize relative to rho, in (0, 1], or a rule for it. 1 was chosen in docs/ablation.md.
        decay: fraction of R off the support forgotten at each update where its step is taken, in [0, 1).
        trust: how many times larger the root mean square of a unit's step may be off the support than on it, at least
            0. 3 was chosen in docs/ablation.md. None trusts every unit.
        garrote: the degree of the garrote times the optimizer steps of the run, above 0. 20,000 was chosen in
            docs/ablation.md. None leaves kept weights as the projection does.
        tolerance: how many entries of a weight a multiplier step may lift while condition 1 fails, as a fraction of the
            weight's support, in [0, 1]; one entry it may always. None looks at no condition.
        interval: optimizer steps between updates of the mask.
        ramp: how the sparsity grows.

    Reference:
        Gurevin et al., IJCAI 2021 and Zhou et al., arXiv 2304.04120 (the relaxation).
        Lin et al., ICLR 2020 (sigma = 1).
        Breiman, Technometrics 37, 1995 (the garrote, d = 2). Hu et al., arXiv 2409.09099 (why jumps cost: for 2:4).
    """

    sigma: RelativeStepsize | float = 1.0
    decay: float = 0.0
    trust: float | None = 3.0
    garrote: float | None = 20_000.0
    tolerance: float | None = None
    interval: int = 1
    ramp: Ramp = field(default_factory=CubicRamp)

    loss_kind: ClassVar[str] = "average of the mini-batch loss over about 20 steps"
    takes_relaxed_path: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_stepsize("SLR", self.sigma)
        for name in ("sigma", "decay", "trust", "garrote", "tolerance"):
            if isinstance(value := getattr(self, name), int):  # states and records are compared by their text
                object.__setattr__(self, name, float(value))
        if not 0 <= self.decay < 1:
            raise ArgumentError("SLR", "decay", self.decay, "must be in [0, 1)")
        if self.trust is not None and not self.trust >= 0:
            raise ArgumentError("SLR", "trust", self.trust, "must be at least 0, or None to trust every unit")
        if self.garrote is not None and not 0 < self.garrote < math.inf:
            rule = "must be a finite number above 0, or None for weights as the projection leaves them"
            raise ArgumentError("SLR", "garrote", self.garrote, rule)
        if self.tolerance is not None and not 0 <= self.tolerance <= 1:
            raise ArgumentError("SLR", "tolerance", self.tolerance, "must be in [0, 1], or None for no condition")

    def start(self, problem: Problem) -> MethodState:
        """Everything on the support, nothing in the memory."""
        memory = [weight.detach().to(_memory_dtype(weight), copy=True) for weight in problem.weights]
        crowding = {} if self.tolerance is None else no_crowding(problem)
        thresholds = {} if self.garrote is None else no_thresholds(problem)
        of_entries = {} if self.garrote is None else no_thresholds_of_entries(problem, memory)
        degree = {} if self.garrote is None else no_degree()
        return MethodState(
            tensors={"mask": all_true(problem.weights), "memory": memory, **of_entries},
            scalars={**start_scalars(problem.device), **crowding, **thresholds},
            numbers={"stepsize": as_stepsize(self.sigma).first, "time": 0.0, "relaxation": 0.0, **degree},
        )

    def hold(self, problem: Problem, state: MethodState, moment: Moment) -> None:
        """Collects what the step left off the support and goes back to the feasible point."""
        observe_loss(state, moment)
        before = self._before(problem, state)
        points, _ = self._points(problem, state, moment, self._next_sigma(state, moment), before)
        relaxation = present_relaxation(self.ramp, state)
        for position, (weight, mask) in enumerate(zip(problem.weights, state.tensors["mask"], strict=True)):
            trained = weight
            if moment.is_usable is not None:
                trained = torch.where(moment.is_usable.to(weight.device), weight, before[position].to(weight.dtype))
            weight.copy_(relaxed(trained, points[position], mask, relaxation))
            # On the support the memory keeps the values of the last update: the last good state.
            state.tensors["memory"][position] = choose(mask, state.tensors["memory"][position], points[position])

    def update(self, problem: Problem, state: MethodState, moment: Moment) -> Observation:
        """One multiplier step and one exact projection."""
        observe_loss(state, moment)
        sigma = self._next_sigma(state, moment)
        state.iteration += 1
        state.numbers["stepsize"] = sigma
        before = self._before(problem, state)
        points, step = self._points(problem, state, moment, sigma, before, self.decay)
        self._adapt(problem, state, moment, step)
        progress, relaxation = self.ramp.progress(moment.time), next_relaxation(self.ramp, state, moment)
        masks = unless_unusable(problem.masks(points, progress), state.tensors["mask"], moment.is_usable)
        if self.garrote is not None:
            remember_degree(state, moment, self.garrote)
            remember_thresholds(problem, state, masks, points, moment)
        primal, dual = [], []
        on_path = network_points(problem, state, masks, points, relaxation)
        is_feasible = isinstance(relaxation, float) and relaxation == 0
        for position, feasible in enumerate(network_points(problem, state, masks, points, 0.0)):
            weight = problem.weights[position]
            primal.append(torch.linalg.vector_norm(weight - feasible))
            weight.copy_(feasible if is_feasible else next(on_path))
            kept_before = only(state.tensors["mask"][position], before[position])
            dual.append(torch.linalg.vector_norm(feasible.sub_(kept_before)))
        counts = mask_counts(state.tensors["mask"], masks, problem.device, problem)
        primal_residual, dual_residual = stacked_norms([primal, dual], problem.device, problem.world)
        state.tensors |= {"mask": masks, "memory": points}
        state.progress = progress
        if self.tolerance is not None:
            remember_largest(problem, state, masks, points)
        if self.trust is not None:  # what is forgotten was weighed by this projection all the same
            forget_units(problem, masks, points, relaxation, moment.is_usable)
        taken = step.mean_taken()
        return Observation(
            host={} if isinstance(taken, Tensor) else {"stepsize": taken},
            device={
                **({"stepsize": taken} if isinstance(taken, Tensor) else {}),
                "loss": state.scalars["fast"],
                "first_condition": holds(state).double(),
                "primal_residual": primal_residual,
                "dual_residual": dual_residual,
                **counts,
            },
        )

    def masks(self, problem: Problem, state: MethodState) -> list[Tensor]:
        """The support of Z."""
        return state.tensors["mask"]

    def final_masks(self, problem: Problem, state: MethodState) -> list[Tensor]:
        """The support of Z once the target has been reached; before, that of the nearest point to V."""
        if state.progress >= 1:
            return state.tensors["mask"]
        trained = self._trained(problem, state, self._before(problem, state))
        parts = zip(state.tensors["mask"], trained, state.tensors["memory"], strict=True)
        return problem.masks([torch.where(mask, kept, memory) for mask, kept, memory in parts], 1.0)

    def final_points(self, problem: Problem, state: MethodState) -> Sequence[Tensor]:
        """The weights on the support, the memory off it."""
        parts = zip(problem.weights, state.tensors["mask"], state.tensors["memory"], strict=True)
        return [torch.where(mask, weight, memory) for weight, mask, memory in parts]

    def _before(self, problem: Problem, state: MethodState) -> list[Tensor]:
        """Z of the last update, on the support; what is off it does not matter. In the dtype of the memory."""
        if self.garrote is None:
            return state.tensors["memory"]
        masks, memories = state.tensors["mask"], state.tensors["memory"]
        return list(network_points(problem, state, masks, memories, present_relaxation(self.ramp, state)))

    def _trained(self, problem: Problem, state: MethodState, before: Sequence[Tensor]) -> Iterator[Tensor]:
        """V on the support, (D - Z) + W', one weight after the other; what is off it does not matter."""
        for weight, memory, start in zip(problem.weights, state.tensors["memory"], before, strict=True):
            if self.garrote is None:
                yield weight
            else:  # D - Z is 0 where nothing is shrunk; a 16-bit weight started from a rounded Z
                yield (memory - start.to(weight.dtype).to(memory.dtype)).add_(weight)

    def _next_sigma(self, state: MethodState, moment: Moment) -> float:
        """sigma for what this step adds to A: that of the update which ends the interval, at this step's time."""
        return as_stepsize(self.sigma).next(state.numbers["stepsize"], state.iteration + 1, moment.time)

    def _points(
        self,
        problem: Problem,
        state: MethodState,
        moment: Moment,
        sigma: float,
        before: Sequence[Tensor],
        decay: float = 0.0,
    ) -> tuple[list[Tensor], "_Step"]:
        """V: D + (W' - Z) on the support, (1 - decay) (R + s sigma (W' - Z)) off it (eq. 24), and how it was judged.

        With a relaxed path what the network computed with stands for Z.
        """
        relaxation, fails = present_relaxation(self.ramp, state), self._fails(problem, state)
        stepsizes: float | Tensor = sigma
        if fails is not False:
            stepsizes = sigma * shares(problem, state, fails if isinstance(fails, Tensor) else None)
        masks, memories = state.tensors["mask"], state.tensors["memory"]
        sizes: Sequence[float | Tensor] = _each(stepsizes, len(masks), fails)
        units = self._trusted(problem, state, relaxation, before)
        trained, points = self._trained(problem, state, before), []
        for position, (weight, mask, memory) in enumerate(zip(problem.weights, masks, memories, strict=True)):
            size = of_units(sizes[position], units[position], relaxation, memory.dtype)
            moved = _moved(memory, weight, size, relaxation)
            if decay:
                moved = moved * (1 - of_units(decay, units[position], relaxation, memory.dtype))
            points.append(choose(mask, next(trained), moved))
        refused = self._refused(problem, state, points, fails)
        for position, stays in enumerate(_each(False if refused is None else refused, len(masks), fails)):
            taken = _taken(masks[position], stays, moment.is_usable)
            if taken is not None:
                points[position] = torch.where(taken, points[position], memories[position])
        return points, _Step(stepsizes, fails, refused)

    def _trusted(
        self, problem: Problem, state: MethodState, relaxation: float | Tensor, before: Sequence[Tensor]
    ) -> Sequence[Tensor | None]:
        """The units whose multipliers may move, as in `trusted_units`; None for all."""
        if self.trust is None or (isinstance(relaxation, float) and relaxation > 0):
            return [None] * len(problem.weights)
        return trusted_units(problem, state.tensors["mask"], before, self.trust)

    def _fails(self, problem: Problem, state: MethodState) -> bool | Tensor:
        """Whether condition 1 fails, on accelerators as a tensor: looking costs nothing on a CPU, and saves work."""
        if self.tolerance is None:
            return False
        return not bool(holds(state)) if problem.device.type == "cpu" else ~holds(state)

    def _refused(
        self, problem: Problem, state: MethodState, points: Sequence[Tensor], fails: bool | Tensor
    ) -> Tensor | None:
        """Of which weights the multipliers stay: condition 1 fails, and the step would crowd the support."""
        if self.tolerance is None or fails is False:
            return None
        crowded = crowds(problem, state, state.tensors["mask"], points, self.tolerance)
        return crowded & fails

    def _adapt(self, problem: Problem, state: MethodState, moment: Moment, step: "_Step") -> None:
        """Halves or doubles the shares of the next steps."""
        if self.tolerance is not None:
            adapt_shares(problem, state, moment, step.fails, step.refused)


@dataclass(frozen=True, eq=False)
class _Step:
    """How a multiplier step was judged.

    Attributes:
        stepsizes: s sigma, of all weights or of each.
        fails: whether condition 1 fails.
        refused: bool, one for each weight; None where the host knows that the condition holds.
    """

    stepsizes: float | Tensor
    fails: bool | Tensor
    refused: Tensor | None

    def mean_taken(self) -> float | Tensor:
        """Mean over the weights of the stepsize, 0 where the step was refused: a number where the host knows it."""
        if self.refused is None:
            return self.stepsizes
        taken = (self.stepsizes * ~self.refused).mean()
        return taken if isinstance(self.fails, Tensor) else float(taken)


def _each(values: Any, count: int, fails: bool | Tensor) -> Sequence[Any]:
    """One of `values` for each weight: plain ones where the host knows whether the condition fails, else tensors."""
    if not isinstance(values, Tensor):
        return [values] * count
    return values.unbind() if isinstance(fails, Tensor) else values.tolist()


def _taken(mask: Tensor, refused: bool | Tensor, is_usable: Tensor | None) -> Tensor | None:
    """Which entries of V are taken, where it is not all: what a refused step leaves, and nothing after a NaN.

    The memory holds the last good point; taking that leaves the state as it was.
    """
    kept = mask | ~refused.to(mask.device) if isinstance(refused, Tensor) else mask if refused else None
    if is_usable is None:
        return kept
    return is_usable if kept is None else kept & is_usable


def _moved(memory: Tensor, weight: Tensor, sigma: float | Tensor, relaxation: float | Tensor) -> Tensor:
    """R + sigma (W' - beta R), a new tensor."""
    if isinstance(sigma, Tensor):
        sigma = sigma.to(memory.device, memory.dtype)
        moved = torch.addcmul(memory, weight.to(memory.dtype), sigma)
    else:
        moved = torch.add(memory, weight, alpha=sigma)
    if isinstance(relaxation, Tensor) or relaxation:
        beta = relaxation.to(memory.device) if isinstance(relaxation, Tensor) else relaxation
        factor = sigma * beta
        if isinstance(factor, Tensor):
            moved.sub_(memory * factor.to(memory.device, memory.dtype))
        else:
            moved.sub_(memory, alpha=factor)
    return moved


def _memory_dtype(weight: Tensor) -> torch.dtype:
    """16-bit weights keep their memory in float32: sums of small steps would be lost in 8 or 11 bits."""
    return torch.float32 if weight.element_size() < 4 else weight.dtype
