"""What the classic splitting methods share: the augmented Lagrangian, its proximal pull, its norms.

L_rho(W, Z, Lambda) = f(W) + <Lambda, W - Z> + rho/2 ||W - Z||^2        Z in S       (docs/theory.md, eq. 2)
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from slrprune.distributed.world import ALONE, World
from slrprune.methods.base import Method, MethodState, Moment, Problem, mask_counts, total, unless_unusable
from slrprune.methods.schedule import Penalty, as_penalty


class Terms(NamedTuple):
    """The parts of the Lagrangian that do not contain f, and the norm of the residual; 0-dim float64."""

    inner: Tensor
    squared: Tensor
    norm: Tensor

    def value(self, rho: float) -> Tensor:
        """<Lambda, W - Z> + rho/2 ||W - Z||^2."""
        return self.inner + rho / 2 * self.squared


@dataclass(frozen=True, kw_only=True)
class LagrangianMethod(Method):
    """A method with auxiliary variables Z in S towards which the weights are drawn between updates.

    By default the pull is decoupled, as decoupled weight decay is: after the optimizer's step with learning rate lr
    the weights make the exact proximal step of the penalty, which is stable for every rho and which no adaptive
    optimizer rescales (docs/theory.md, eq. 13):

        W <- (W + lr rho (Z - Lambda/rho)) / (1 + lr rho)

    Args:
        penalty: rho, a number or a `Penalty` over the run.
        coupled: the paper's form instead: train on `loss + pruner.penalty()`, and no pull after the step. Pass the
            loss without the penalty to `pruner.step`.
    """

    penalty: Penalty | float
    coupled: bool = False

    is_sparse_throughout: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        as_penalty(self.penalty)

    @property
    def is_coupled(self) -> bool:
        """Whether the loss must contain `pruner.penalty()`."""
        return self.coupled

    def rho(self, time: float) -> float:
        """The penalty coefficient at `time` in [0, 1]."""
        return as_penalty(self.penalty).at(time)

    @abstractmethod
    def start(self, problem: Problem) -> MethodState:
        """Z = Proj_S(W), and Lambda = 0 where the method has multipliers."""

    def hold(self, problem: Problem, state: MethodState, moment: Moment) -> None:
        """The proximal pull; nothing in the coupled form."""
        if self.coupled:
            return
        rho = self.rho(moment.time)
        for weight, target, lr in zip(problem.weights, self.targets(state, rho), moment.lrs, strict=True):
            share = lr * rho / (1 + lr * rho)
            pulled = weight.lerp(target, share.to(weight) if isinstance(share, Tensor) else share)
            weight.copy_(pulled if moment.is_usable is None else torch.where(moment.is_usable, pulled, weight))

    def targets(self, state: MethodState, rho: float) -> Sequence[Tensor]:
        """Z - Lambda/rho, where the penalty draws the weights."""
        auxiliary = state.tensors["auxiliary"]
        if "multipliers" not in state.tensors:
            return auxiliary
        pairs = zip(auxiliary, state.tensors["multipliers"], strict=True)
        return [torch.sub(z, multipliers, alpha=1 / rho) for z, multipliers in pairs]

    def penalty_value(self, problem: Problem, state: MethodState, time: float) -> Tensor:
        """<Lambda, W - Z> + rho/2 ||W - Z||^2 with a gradient in W: what the coupled form adds to the loss."""
        rho = self.rho(time)
        multipliers = state.tensors.get("multipliers")
        value = torch.zeros((), device=problem.device)
        for position, weight in enumerate(problem.weights):
            residual = weight - state.tensors["auxiliary"][position]
            value = value + rho / 2 * residual.square().sum()
            if multipliers is not None:
                value = value + (multipliers[position] * residual).sum()
        return value

    def masks(self, problem: Problem, state: MethodState) -> list[Tensor]:
        """Masks of the weights' projection at the present level."""
        return problem.masks(problem.weights, state.progress)

    def final_masks(self, problem: Problem, state: MethodState) -> list[Tensor]:
        """Masks of Proj_S(W)."""
        return problem.masks(problem.weights, 1.0)


def project(problem: Problem, points: Sequence[Tensor], progress: float) -> list[Tensor]:
    """Proj_S of the points at `progress`, as new tensors."""
    masks = problem.masks(points, progress)
    return [point.masked_fill(~mask, 0.0) for point, mask in zip(points, masks, strict=True)]


def terms(
    weights: Sequence[Tensor],
    auxiliary: Sequence[Tensor],
    multipliers: Sequence[Tensor] | None,
    summed: bool = False,
    world: World = ALONE,
) -> Terms:
    """The Lagrangian's parts at (W, Z, Lambda).

    Args:
        weights: W, one tensor per layer.
        auxiliary: Z, likewise.
        multipliers: Lambda, likewise; None means Lambda = 0.
        summed: take the sum of the layers' norms, as the authors' code does, instead of the norm of the stacked vector.
        world: the ranks that hold parts of the vectors.
    """
    device = weights[0].device
    residuals = [weight.detach() - z for weight, z in zip(weights, auxiliary, strict=True)]
    norms = [torch.linalg.vector_norm(residual, dtype=_wide(residual)) for residual in residuals]
    squared = total([norm.square() for norm in norms], device)
    inner = torch.zeros((), dtype=torch.float64, device=device)
    if multipliers is not None:
        pairs = zip(multipliers, residuals, strict=True)
        inner = total([(values * residual).sum(dtype=_wide(residual)) for values, residual in pairs], device)
    if world.ranks == 1:
        return Terms(inner, squared, total(norms, device) if summed else squared.sqrt())
    squares = torch.stack([norm.to(device, torch.float64) for norm in norms]).square()  # per layer, for the summed norm
    both = world.sum(torch.cat([inner.unsqueeze(0), squares]))
    squared = both[1:].sum()
    return Terms(both[0], squared, both[1:].sqrt().sum() if summed else squared.sqrt())


def observed(
    problem: Problem, before: Sequence[Tensor], after: Sequence[Tensor], rho: float, primal: Tensor
) -> dict[str, Tensor]:
    """Record fields of one update from the auxiliary variables before and after it."""
    counts = mask_counts([z != 0 for z in before], [z != 0 for z in after], problem.device, problem)
    dual = rho * terms(after, before, None, world=problem.world).norm
    return {"primal_residual": primal, "dual_residual": dual, **counts}


def commit(state: MethodState, kind: str, values: Sequence[Tensor], is_usable: Tensor | None) -> None:
    """Makes `values` the state's tensors of this kind, unless the moment turned out unusable."""
    state.tensors[kind] = unless_unusable(values, state.tensors[kind], is_usable)


def mean_loss_(state: MethodState, moment: Moment) -> None:
    """Adds the mini-batch loss to the running mean since the last update."""
    step = moment.loss if moment.is_usable is None else torch.where(moment.is_usable, moment.loss, 0.0)
    state.scalars["loss_sum"] = state.scalars["loss_sum"] + step
    state.numbers["loss_count"] += 1


def take_mean_loss(state: MethodState) -> Tensor:
    """The mean mini-batch loss since the last update; starts a new mean."""
    mean = state.scalars["loss_sum"] / state.numbers["loss_count"]
    start_mean_loss(state, mean.device)
    return mean


def start_mean_loss(state: MethodState, device: torch.device) -> None:
    """Empties the running mean."""
    state.scalars["loss_sum"] = torch.zeros((), dtype=torch.float64, device=device)
    state.numbers["loss_count"] = 0.0


def _wide(tensor: Tensor) -> torch.dtype:
    """Sums of many squares need more than 16 bits; float32 sums are exact enough for norms, float64 stays."""
    return torch.float32 if tensor.element_size() < 4 else tensor.dtype
