"""Ideas for SLR that were tried and not kept (docs/ablation.md says why), so that their figures can be made again."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from slrprune import SLR
from slrprune.methods.base import MethodState, Moment, Observation, Problem, mask_counts
from slrprune.methods.stepsize import RelativeStepsize
from slrprune.methods.surrogate import holds, observe_loss


@dataclass(frozen=True, kw_only=True)
class HalvedSLR(SLR):
    """SLR as the default was before: every unit is trusted, condition 1 and the count of entries shorten steps."""

    sigma: RelativeStepsize | float = 0.5
    trust: float | None = None
    garrote: float | None = None
    tolerance: float | None = 0.02


@dataclass(frozen=True, kw_only=True)
class ReturningSLR(SLR):
    """SLR that forgets no unit: one that is gone is back once the weights of others fall below its last ones.

    So was the default before, but for sets that remove whole units, where it forgot them already.
    """

    garrote: float | None = None

    def update(self, problem: Problem, state: MethodState, moment: Moment) -> Observation:
        """As `SLR`, and nothing is forgotten."""
        points, _ = self._points(
            problem, state, moment, self._next_sigma(state, moment), state.tensors["memory"], self.decay
        )
        found = super().update(problem, state, moment)
        pairs = zip(state.tensors["mask"], state.tensors["memory"], points, strict=True)
        state.tensors["memory"] = [torch.where(mask, memory, point) for mask, memory, point in pairs]
        return found


@dataclass(frozen=True, kw_only=True)
class ShortenedSLR(HalvedSLR):
    """SLR as the default was at first: where condition 1 fails, the multipliers take less of a step, or nothing.

    They take sigma max(0, 1 - (f_20 / f_200 - 1) / tolerance) for a positive loss, with f_20 and f_200 its averages
    over about 20 and 200 steps. For a constant sigma, on the CPU.

    Args:
        tolerance: relative excess of the loss at which the multipliers stay, in [0, 1]; 0 is as strict as published,
            None is no condition.
    """

    tolerance: float | None = 0.3

    def _next_sigma(self, state: MethodState, moment: Moment) -> float:
        fast, slow = float(state.scalars["fast"]), float(state.scalars["slow"])
        if self.tolerance is None or fast < slow:
            share = 1.0
        else:
            share = max(0.0, 1 - (fast / slow - 1) / self.tolerance) if self.tolerance and slow > 0 else 0.0
        return share * super()._next_sigma(state, moment)

    def _fails(self, problem: Problem, state: MethodState) -> bool:
        return False


@dataclass(frozen=True, kw_only=True)
class TogetherSLR(HalvedSLR):
    """SLR whose condition counts the entries of all weights together, against the support of all. CPU only.

    Args:
        halves: after a refused step the next one is half as long, as in `SLR`; without, as the default once was, all
            steps are whole.
    """

    tolerance: float | None = 0.01
    halves: bool = False

    def _refused(
        self, problem: Problem, state: MethodState, points: Sequence[Tensor], fails: bool | Tensor
    ) -> Tensor | None:
        return torch.full((len(points),), self._crowded(problem, state, points)) if fails else None

    def _adapt(self, problem: Problem, state: MethodState, moment: Moment, step: Any) -> None:
        if self.halves:
            super()._adapt(problem, state, moment, step)

    def _crowded(self, problem: Problem, state: MethodState, points: Sequence[Tensor]) -> bool:
        above, masks = 0, state.tensors["mask"]
        for number, (_, positions) in enumerate(problem.groups):
            bound = state.scalars[f"largest_multiplier_{number}"]
            above += sum(int(((points[p].abs() > bound) & ~masks[p]).count_nonzero()) for p in positions)
        kept = sum(int(mask.count_nonzero()) for mask in masks)
        return self.tolerance is not None and above > max(1.0, self.tolerance * kept)


@dataclass(frozen=True, kw_only=True)
class BoundedSLR(HalvedSLR):
    """SLR with safeguarded multipliers: a step takes none beyond the largest there is, whatever the loss does.

    As in safeguarded augmented Lagrangian methods (Andreani, Birgin, Martinez, Schuverdt 2007), with the budget's
    threshold for the box. Without a condition. One budget, CPU only.
    """

    tolerance: float | None = None

    def _points(
        self,
        problem: Problem,
        state: MethodState,
        moment: Moment,
        sigma: float,
        before: Sequence[Tensor],
        decay: float = 0.0,
    ) -> tuple[list[Tensor], Any]:
        masks, memories = state.tensors["mask"], state.tensors["memory"]
        largest = [memory.masked_fill(mask, 0.0).abs().amax() for mask, memory in zip(masks, memories, strict=True)]
        bound = torch.stack(largest).amax()
        points, step = super()._points(problem, state, moment, sigma, before, decay)
        pairs = zip(masks, points, strict=True)
        return [torch.where(mask, point, point.clamp(-bound, bound)) for mask, point in pairs], step


@dataclass(frozen=True, kw_only=True)
class HeldMaskSLR(ShortenedSLR):
    """SLR whose mask is held from a time of the run on, while the weights train on.

    Args:
        held_from: fraction of the run, after the ramp's end.
    """

    held_from: float = 0.75

    def update(self, problem: Problem, state: MethodState, moment: Moment) -> Observation:
        """As `SLR`; once the time has come, with the mask of the last update in place of a projection."""
        if moment.time > self.held_from and state.progress >= 1:
            problem = _Held(problem, state.tensors["mask"]).as_problem()
        return super().update(problem, state, moment)


@dataclass(frozen=True, kw_only=True)
class InertSLR(ShortenedSLR):
    """SLR with a proximal term in the cardinality subproblem: Z minimizes ||Z - V||^2 + mu ||Z - Z_before||^2 over S.

    An entry off the support enters only when its memory exceeds 1 + mu times the weight that it replaces.

    Args:
        mu: at least 0.
    """

    mu: float = 0.5

    def update(self, problem: Problem, state: MethodState, moment: Moment) -> Observation:
        """As `SLR`, with the support chosen at V + mu Z_before."""
        return super().update(_Inert(problem, state.tensors["mask"], self.mu).as_problem(), state, moment)


@dataclass(frozen=True, kw_only=True)
class GarroteSLR(ShortenedSLR):
    """SLR whose kept weights are V (1 - (tau / |V|)^power), tau the largest magnitude that was dropped.

    So a weight enters and leaves the support at zero, without a jump: the nonnegative garrote (Breiman 1995) with the
    budget's threshold. V moves by the optimizer's step on the support, as in linearized Bregman iterations. CPU only.

    Args:
        power: 2 is the garrote, 1 soft thresholding.
    """

    power: float = 2.0

    def start(self, problem: Problem) -> MethodState:
        """As `SLR`, with the threshold 0."""
        state = super().start(problem)
        state.scalars["threshold"] = torch.zeros((), dtype=torch.float64)
        return state

    def update(self, problem: Problem, state: MethodState, moment: Moment) -> Observation:
        """One step of V, its support, and the shrunk values on it."""
        observe_loss(state, moment)
        state.iteration += 1
        sigma = share = state.numbers["stepsize"] = self._next_sigma(state, moment)
        threshold = float(state.scalars["threshold"])
        points = []
        for weight, mask, memory in zip(problem.weights, state.tensors["mask"], state.tensors["memory"], strict=True):
            before = self._shrunk(mask, memory, threshold)
            points.append(memory + torch.where(mask, weight - before, share * weight))
        state.progress = self.ramp.progress(moment.time)
        masks = problem.masks(points, state.progress)
        dropped = [torch.where(mask, 0.0, point).abs().max() for mask, point in zip(masks, points, strict=True)]
        threshold = float(torch.stack(dropped).max())
        for weight, mask, point in zip(problem.weights, masks, points, strict=True):
            weight.copy_(self._shrunk(mask, point, threshold))
        counts = mask_counts(state.tensors["mask"], masks, problem.device, problem)
        state.tensors = {"mask": masks, "memory": points}
        state.scalars["threshold"] = torch.tensor(threshold, dtype=torch.float64)
        device = {"loss": state.scalars["fast"], "first_condition": holds(state).double(), **counts}
        return Observation(host={"stepsize": sigma}, device=device)

    def _shrunk(self, mask: Tensor, point: Tensor, threshold: float) -> Tensor:
        ratio = (threshold / point.abs().clamp(min=1e-12)).clamp(max=1)
        return torch.where(mask, point * (1 - ratio**self.power), 0.0)


class _Other:
    """A problem with masks of its own; all else is the problem's."""

    def __init__(self, problem: Problem, present: Sequence[Tensor]) -> None:
        self._problem, self._present = problem, present

    def as_problem(self) -> Problem:
        """Itself, for a method that takes a problem."""
        return cast(Problem, self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._problem, name)


class _Held(_Other):
    def masks(self, points: Sequence[Tensor], progress: float) -> list[Tensor]:
        """The present ones."""
        return [mask.clone() for mask in self._present]


class _Inert(_Other):
    def __init__(self, problem: Problem, present: Sequence[Tensor], mu: float) -> None:
        super().__init__(problem, present)
        self._mu = mu

    def masks(self, points: Sequence[Tensor], progress: float) -> list[Tensor]:
        """Of V + mu Z_before: the present entries count 1 + mu times."""
        favoured = [torch.where(m, (1 + self._mu) * p, p) for m, p in zip(self._present, points, strict=True)]
        return self._problem.masks(favoured, progress)
