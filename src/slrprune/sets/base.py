"""What a constraint set is: the place where weights may end, and the nearest point in it.

The mask comes first and the projection is derived from it, once, here: `project(w) = where(mask(w), w, 0)`. So a mask
and a projection cannot disagree, and a set only says which entries stay (docs/theory.md, equations 3 to 5).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from slrprune.distributed.slices import Slice
from slrprune.errors import ArgumentError, NonFiniteError, UsageError

if TYPE_CHECKING:  # claims are decided by top_k, which lies in this folder
    from slrprune.sets.claims import Claim


class ConstraintSet(ABC):
    """A set S of weights, closed under scaling, with an exact Euclidean projection.

    A concrete set is a frozen dataclass that holds its own level (sparsity, n and m, ...): a level that contradicts
    the pattern cannot be written. Ties are broken by one rule everywhere: the lowest index, in row-major order of the
    logical shape, is kept.
    """

    is_joint: ClassVar[bool] = False
    """True where several tensors share one budget, so that they must be projected together."""
    groups_decide_alone: ClassVar[bool] = False
    """True where every group of entries chooses its own by magnitude, so that each has thresholds of its own."""

    @property
    def settings(self) -> str:
        """Everything that defines the set, as text: sets of equal settings are the same."""
        return repr(self)

    @abstractmethod
    def select(self, weights: Sequence[Tensor]) -> list[Tensor]:
        """Masks of the nearest points, without any check of the values: what the training path calls.

        Args:
            weights: floating tensors, any device and memory format. A joint set treats them as one point; any other
                set treats each alone.

        Returns:
            One bool tensor per weight, True = kept, same shape and device. No device-to-host copy is made on
            accelerators.
        """

    @abstractmethod
    def at(self, progress: float) -> "ConstraintSet":
        """The looser set on the way to this one; 0 puts no constraint, 1 is this set itself.

        Args:
            progress: in [0, 1]. Sets with a sparsity take `progress * sparsity`; group patterns (N:M, kernel
                patterns) ask the pattern of that fraction of the groups, the cheapest first.
        """

    def check(self, name: str, shape: Sequence[int]) -> None:  # noqa: B027  (most sets take every shape)
        """Raises `ShapeError` where a weight of this shape has no place in the set.

        Args:
            name: how the error calls the weight.
            shape: its shape.
        """

    def strengths(self, weight: Tensor) -> Tensor | None:
        """For each entry the norm of its group, where all groups of a weight compete with each other by it.

        Args:
            weight: floating; or a slice of one, cut along dimension 0, that has passed `check_slices`.

        Returns:
            A new tensor of the shape and dtype of `weight`: what is kept is at least as strong as what is cut, in each
            weight. None where the set decides in another way, or where what is cut never comes back.
        """
        return None

    def thresholds(self, weight: Tensor, mask: Tensor) -> Tensor:
        """For each entry the magnitude at which it would be cut if the others stayed as they are.

        Args:
            weight: floating; or a slice of one, cut along dimension 0, that has passed `check_slices`.
            mask: what `select` says of it, for this set or one on the way to it (`at`).

        Returns:
            A new tensor of the shape and dtype of `weight`, 0 in groups of which nothing was cut; what it holds for
            entries that were cut has no meaning.

        Raises:
            UsageError: a set without `groups_decide_alone`.
        """
        raise UsageError(repr(self), "has no thresholds of entries: its groups do not decide alone")

    def removes_whole(self, dim: int, ndim: int) -> bool:
        """Whether the slices of a weight along a dimension go as a whole, or stay: `Channel` of that dimension.

        Args:
            dim: from 0.
            ndim: dimensions of the weight.
        """
        return False

    def bind(self, model: nn.Module, weights: Mapping[str, Tensor]) -> "ConstraintSet":
        """The set made ready for these weights of `model`: shapes checked, costs measured where a budget needs them.

        Args:
            model: owner of the weights; used only by budgets in MACs.
            weights: name to tensor, in the order in which `select` will get them.
        """
        for name, weight in weights.items():
            self.check(name, weight.shape)
        return self

    def bind_part(self, model: nn.Module, weights: Mapping[str, Tensor]) -> "ConstraintSet":
        """As `bind`, for a part of the weights that share the set; a joint budget may be larger than this part."""
        return self.bind(model, weights)

    def check_slices(self, name: str, shape: tuple[int, ...], ranks: int) -> None:
        """Raises where masks of a weight that is cut along dimension 0 over several ranks cannot be had.

        Args:
            name: of the parameter.
            shape: of the whole weight.
            ranks: over which it is cut; see `distributed.Shards`.

        Raises:
            UsageError: the set has no way to decide over several ranks.
            ShapeError: its groups do not lie within one slice each.
        """
        way_out = "Use Global, Unstructured, NM, Block, Channel, Column or KernelPattern."
        raise UsageError(name, f"{self!r} is not available for weights cut over {ranks} ranks", way_out)

    def claims(self, slices: Sequence[Slice]) -> "list[Claim]":
        """What `select` would decide, as claims: `sets.claims.decide` turns them into masks of the slices.

        Args:
            slices: this rank's parts of the weights. All have passed `check_slices`.

        Returns:
            Claims whose masks, one after the other, are those of the slices.
        """
        raise UsageError(repr(self), "is not available for weights cut over several ranks")

    def transposed(self) -> "ConstraintSet":
        """The same set for weights stored as (in, out, ...): transposed convolutions, transformers' `Conv1D`."""
        return self

    def __and__(self, other: "ConstraintSet") -> "ConstraintSet":
        """Both at once, where the exact projection is known; see `Intersection`."""
        if not isinstance(other, ConstraintSet):
            return NotImplemented
        from slrprune.sets.intersection import intersect  # here, because it knows the sets, which know this class

        return intersect(self, other)

    def masks(self, weights: Sequence[Tensor]) -> list[Tensor]:
        """`select` after checking that shapes fit and all values are finite.

        Raises:
            ShapeError: a shape that the set cannot take.
            NonFiniteError: NaN or infinity in a weight.
            ArgumentError: a weight that is not floating.
        """
        for weight in weights:
            if not weight.is_floating_point():
                raise ArgumentError(type(self).__name__, "weight", weight.dtype, "must be of a floating dtype")
            self.check("weight", weight.shape)
            if not bool(torch.isfinite(weight.detach()).all()):
                raise NonFiniteError(repr(self), "weight", "Look for the step in which training diverged.")
        with torch.no_grad():
            return self.select([weight.detach() for weight in weights])

    def mask(self, weight: Tensor) -> Tensor:
        """The bool mask of the nearest point, True = kept; shape and device of `weight`. Raises as `masks`."""
        return self.masks([weight])[0]

    def project(self, weight: Tensor) -> Tensor:
        """The nearest point of the set: a new tensor of the same shape, dtype, device. Raises as `masks`."""
        weight = weight.detach()
        return torch.where(self.mask(weight), weight, torch.zeros((), dtype=weight.dtype, device=weight.device))

    def contains(self, weight: Tensor) -> bool:
        """Whether `weight` lies in the set: exactly when the projection leaves it as it is."""
        return not bool(((weight.detach() != 0) & ~self.mask(weight)).any())


class PerTensorSet(ConstraintSet):
    """A set that treats every tensor alone; subclasses say which entries of one tensor stay."""

    @abstractmethod
    def select_one(self, weight: Tensor) -> Tensor:
        """The mask of one tensor; see `select`."""

    def select(self, weights: Sequence[Tensor]) -> list[Tensor]:
        """The masks, tensor by tensor."""
        return [self.select_one(weight) for weight in weights]

    def claim_one(self, part: Slice) -> "Claim":
        """What `select_one` would decide; see `claims`."""
        raise UsageError(repr(self), "is not available for weights cut over several ranks")

    def claims(self, slices: Sequence[Slice]) -> "list[Claim]":
        """One claim per tensor."""
        return [self.claim_one(part) for part in slices]


def check_sparsity(owner: str, sparsity: float) -> None:
    """Raises `ArgumentError` unless `sparsity`, a fraction of zeros, lies in [0, 1)."""
    if isinstance(sparsity, bool) or not isinstance(sparsity, (int, float)) or not 0 <= sparsity < 1:
        way_out = "Sparsity is the fraction of zeros: 0.9 keeps one weight in ten."
        raise ArgumentError(owner, "sparsity", sparsity, "must be in [0, 1)", way_out)


def check_progress(owner: str, progress: float) -> float:
    """`progress` itself; raises `ArgumentError` unless it lies in [0, 1]."""
    if not 0 <= progress <= 1:
        raise ArgumentError(owner, "progress", progress, "must be in [0, 1]")
    return progress


def kept_count(numel: int, sparsity: float) -> int:
    """How many of `numel` entries (or groups) stay: numel - round(sparsity * numel), at least one.

    Rounding, rather than flooring, makes the count immune to the binary error of factors like 0.29; at least one
    entry stays, because a layer of zeros cuts the network in two.

    Examples:
        >>> kept_count(1000, 0.9), kept_count(7, 0.29), kept_count(3, 0.99)
        (100, 5, 1)
    """
    return max(1, numel - round(sparsity * numel)) if numel else 0
