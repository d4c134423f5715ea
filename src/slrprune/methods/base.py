"""What a method is: the rule by which weights, auxiliary variables and multipliers move after an optimizer step.

A method is a frozen set of hyper-parameters. It remembers nothing: the state comes in, is moved in place, and is kept
by the pruner. All decisions stay on the device; a method never reads a tensor back.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from slrprune.distributed.shards import Shards
from slrprune.distributed.slices import Slice
from slrprune.distributed.world import ALONE, World
from slrprune.errors import ArgumentError
from slrprune.methods.schedule import Ramp, RelaxedPath
from slrprune.sets.base import ConstraintSet
from slrprune.sets.claims import Claim, decide
from slrprune.sets.unstructured import Unstructured


@dataclass(frozen=True, eq=False)
class Problem:
    """min f(W) subject to W in S: the weights to prune and their sets (docs/theory.md, eq. 1).

    Attributes:
        names: canonical parameter names, in registration order.
        weights: the model's own parameters, in the order of `names`; methods change them in place.
        groups: each set with the positions of the weights that it constrains together.
        world: the processes that train together; where they cut the weights, `weights` are this rank's rows.
        shapes: of the whole weights.
        unit_dims: the dimension along which each weight's output units lie, filters or neurons; None where there are
            none. Left out, 0 for weights of two dimensions or more.
    """

    names: tuple[str, ...]
    weights: tuple[Tensor, ...]
    groups: tuple[tuple[ConstraintSet, tuple[int, ...]], ...]
    world: World = ALONE
    shapes: tuple[tuple[int, ...], ...] = ()
    unit_dims: tuple[int | None, ...] = ()

    def __post_init__(self) -> None:
        if not self.shapes:
            object.__setattr__(self, "shapes", tuple(tuple(weight.shape) for weight in self.weights))
        if not self.unit_dims:
            object.__setattr__(self, "unit_dims", tuple(0 if len(shape) > 1 else None for shape in self.shapes))

    @property
    def numel(self) -> int:
        """Entries of all weights, those on other ranks included."""
        return sum(math.prod(shape) for shape in self.shapes)

    @property
    def is_plain(self) -> bool:
        """Whether `weights` are the model's own parameters, and not the local parts of DTensors."""
        return not isinstance(self.world, Shards)

    @property
    def device(self) -> torch.device:
        """Where the decisions are made: the device of the first weight."""
        return self.weights[0].device

    def constraints(self) -> dict[str, str]:
        """What constrains each weight, in words; where there are several budgets also which weights share one."""
        several = sum(constraint.is_joint for constraint, _ in self.groups) > 1
        texts: dict[int, str] = {}
        for constraint, positions in self.groups:
            others = f"{len(positions) - 1} more" if len(positions) > 1 else "no other"
            budget = f", budget of {self.names[positions[0]]} and {others}" if constraint.is_joint and several else ""
            texts.update(dict.fromkeys(positions, f"{constraint!r}{budget}"))
        return {name: texts[position] for position, name in enumerate(self.names)}

    def masks(self, points: Sequence[Tensor], progress: float) -> list[Tensor]:
        """Masks of the nearest points to `points` in the sets at `progress` in [0, 1]; see `ConstraintSet.at`."""
        groups = [(s if progress >= 1 else s.at(progress), positions) for s, positions in self.groups]
        found: dict[int, Tensor] = {}
        if self.world.ranks == 1:
            for constraint, positions in groups:
                masks = constraint.select([points[position] for position in positions])
                found.update(zip(positions, masks, strict=True))
        else:
            claims: list[Claim] = []
            for constraint, positions in groups:
                claims += constraint.claims([Slice(points[p], self.shapes[p]) for p in positions])
            masks = [mask for masks in decide(claims, self.world) for mask in masks]
            order = [position for _, positions in groups for position in positions]
            found.update(zip(order, masks, strict=True))
        return [found[position] for position in range(len(points))]


@dataclass(frozen=True, eq=False)
class Moment:
    """What a method may know about the optimizer step just made.

    Attributes:
        step: optimizer steps seen so far, 1-based.
        time: step / total_steps, at most 1.
        loss: 0-dim, float64, detached: f at the weights before that step, on its mini-batch.
        lrs: learning rate of each weight's parameter group.
        is_usable: 0-dim bool, False where loss or weights are not finite; None where the host has checked already.
        probe: returns f at the weights as they are when it is called, 0-dim float64; None where the user gave none.
    """

    step: int
    time: float
    loss: Tensor
    lrs: tuple[float | Tensor, ...]
    is_usable: Tensor | None = None
    probe: Callable[[], Tensor] | None = None


@dataclass
class MethodState:
    """Everything a method remembers between steps; the pruner owns it and saves it.

    Attributes:
        tensors: kind ("mask", "memory", "auxiliary", "multipliers") to one tensor per weight, in the problem's order.
        scalars: 0-dim float64 tensors on the problem's device.
        numbers: plain floats known to the host.
        iteration: k, updates made so far.
        progress: what the last update asked of the sets, in [0, 1].
    """

    tensors: dict[str, list[Tensor]]
    scalars: dict[str, Tensor] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)
    iteration: int = 0
    progress: float = 0.0


@dataclass(frozen=True)
class Observation:
    """What an update reports: numbers of the host, and 0-dim tensors of the device (fields of `UpdateRecord`)."""

    host: Mapping[str, float]
    device: Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Method(ABC):
    """A pruning method.

    Args:
        interval: optimizer steps between two updates, at least 1.
        ramp: how the constraint is tightened over the run.
    """

    interval: int
    ramp: Ramp

    loss_kind: ClassVar[str] = "mini-batch"
    """What the `loss` field of this method's records holds."""
    is_sparse_throughout: ClassVar[bool] = True
    """Whether the model lies in the (ramped) set after every step."""
    takes_relaxed_path: ClassVar[bool] = False
    """Whether the method lets entries off the support take part in the network; the others would just ignore beta."""
    revision: ClassVar[int] = 1
    """Counts the algorithms that the same settings have stood for, release by release: one more when weights differ."""
    needs_training: ClassVar[bool] = True
    """Whether `finalize` before any step would be a mistake."""

    def __post_init__(self) -> None:
        """Checks what all methods share; a subclass that needs more calls this first."""
        if isinstance(self.interval, bool) or not isinstance(self.interval, int) or self.interval < 1:
            raise ArgumentError(type(self).__name__, "interval", self.interval, "must be an integer of at least 1")
        if not isinstance(self.ramp, Ramp):
            way_out = "Take CubicRamp(begin, end) or NoRamp()."
            raise ArgumentError(type(self).__name__, "ramp", self.ramp, "must be a Ramp", way_out)
        if isinstance(self.ramp, RelaxedPath) and not self.takes_relaxed_path:
            rule = "must be CubicRamp or NoRamp: a relaxed path is for SLR"
            raise ArgumentError(type(self).__name__, "ramp", self.ramp, rule)

    @property
    def is_coupled(self) -> bool:
        """Whether the loss must contain `pruner.penalty()`: the classic methods can ask for it."""
        return False

    @abstractmethod
    def start(self, problem: Problem) -> MethodState:
        """The state before the first step; leaves the weights as they are and shares no memory with them."""

    @abstractmethod
    def hold(self, problem: Problem, state: MethodState, moment: Moment) -> None:
        """What happens after an optimizer step at which no update is due."""

    @abstractmethod
    def update(self, problem: Problem, state: MethodState, moment: Moment) -> Observation:
        """What happens after an optimizer step at which an update is due; moves `state` and the weights in place."""

    @abstractmethod
    def masks(self, problem: Problem, state: MethodState) -> list[Tensor]:
        """The masks of the moment; the caller must not change them."""

    @abstractmethod
    def final_masks(self, problem: Problem, state: MethodState) -> list[Tensor]:
        """Masks of the hard cut, always those of the full target."""

    def final_points(self, problem: Problem, state: MethodState) -> Sequence[Tensor]:
        """The values from which the hard cut takes the kept entries; the weights themselves unless a method differs."""
        return problem.weights

    def bytes_per_weight(self, dtype: torch.dtype) -> int:
        """Memory kept between steps for each pruned weight of this dtype, in bytes."""
        weight = torch.zeros(1, dtype=dtype)
        state = self.start(Problem(("weight",), (weight,), ((Unstructured(0.0), (0,)),)))
        return sum(tensor.element_size() for tensors in state.tensors.values() for tensor in tensors)


def all_true(weights: Sequence[Tensor]) -> list[Tensor]:
    """Masks that keep everything, in the memory format of the weights."""
    return [torch.ones_like(weight, dtype=torch.bool) for weight in weights]


def unless_unusable(new: Sequence[Tensor], old: Sequence[Tensor], is_usable: Tensor | None) -> list[Tensor]:
    """`new` after a step with finite values, `old` after any other: the state stays that of the last good step.

    Args:
        new: one tensor for each weight.
        old: tensors of the same shapes and devices.
        is_usable: of the moment; None where the host knows that it is.
    """
    if is_usable is None:
        return list(new)
    pairs = zip(new, old, strict=True)
    return [torch.where(is_usable.to(kept.device), taken, kept) for taken, kept in pairs]


def total(values: Sequence[Tensor], device: torch.device, world: World = ALONE) -> Tensor:
    """Sum of 0-dim tensors over layers and ranks, as float64 on `device`."""
    stacked = torch.stack([value.to(device) for value in values])
    return world.sum(stacked.sum(dtype=torch.float64))


def stacked_norms(rows: Sequence[Sequence[Tensor]], device: torch.device, world: World = ALONE) -> list[Tensor]:
    """Norms of vectors stacked from layers of these norms, also over ranks; each 0-dim float64 on `device`."""
    stacked = [torch.stack([norm.to(device) for norm in row]).double() for row in rows]
    norms = [torch.linalg.vector_norm(row) for row in stacked]
    if world.ranks == 1:
        return norms
    return list(world.sum(torch.stack(norms).square()).sqrt())


def mask_counts(
    old: Sequence[Tensor], new: Sequence[Tensor], device: torch.device, problem: Problem | None = None
) -> dict[str, Tensor]:
    """`sparsity` and `mask_changes` of a record; over all ranks where the masks are those of a problem."""
    numel = sum(mask.numel() for mask in new) if problem is None else problem.numel
    kept = total([torch.count_nonzero(mask) for mask in new], device)
    changed = total([torch.count_nonzero(before ^ after) for before, after in zip(old, new, strict=True)], device)
    if problem is not None and problem.world.ranks > 1:
        kept, changed = problem.world.sum(torch.stack([kept, changed]))
    return {"sparsity": 1 - kept / numel, "mask_changes": changed}
