"""One budget for all tensors together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar

from torch import Tensor, nn

from slrprune import budget  # the module, as it is built on sets.topk: either may be imported first
from slrprune.distributed.slices import Slice
from slrprune.errors import ArgumentError, UsageError
from slrprune.macs import macs_per_weight
from slrprune.sets.base import ConstraintSet, check_progress, check_sparsity, kept_count
from slrprune.sets.claims import Claim
from slrprune.sets.knapsack import Knapsack

_BUDGETS = ("sparsity", "params", "macs", "bytes")


@dataclass(frozen=True)
class Global(ConstraintSet):
    """The lists of tensors that together have at most k non-zeros, shared out by an allocation.

    S = {(W_1, ..., W_L) : sum_l ||W_l||_0 <= k}, with the counts per tensor as the allocation wants them.

    The projection of `magnitude`, the default, is the nearest point: floors, then the largest magnitudes of all tensors
    (equation 4; proof in `budget.Magnitude`). `lamp`, `erk` and `uniform` fix the counts, and the projection is exact
    given those. k counts entries of the tensors that share this object, at least one of each. Any shapes. Linear time
    (`lamp`: a sort).

    Args:
        sparsity: fraction of zeros over all tensors, in [0, 1). Exactly one of `sparsity`, `params`, `macs`, `bytes`.
        params: k itself, the number of weights that stay.
        macs: multiply-accumulates of the weights that stay, for one forward pass of `example_input`. Chosen by a
            heuristic, see `Knapsack`; usable in a model only, which `bind` measures.
        bytes: size of a file with one bit per weight and the values that stay, in their dtype.
        example_input: what `macs` measures: a tensor, a tuple of arguments or a dict of keyword arguments.
        allocation: 'magnitude', 'lamp', 'erk', 'uniform', or an instance of a class of `slrprune.budget`.
        floor: for 'magnitude' and `macs`: fraction of its even share that every tensor keeps, in [0, 1]. None is 0.1.
        progress: fraction of the way from dense to the budget, in [0, 1]; `at` sets it.

    Raises:
        ArgumentError: not exactly one budget, one outside its range, an unknown allocation, a floor or an example input
            without use.
        UsageError: masks of a `macs` budget that was not bound to a model.

    Examples:
        >>> import torch
        >>> [m.tolist() for m in Global(0.5).masks([torch.tensor([3.0, 2.0]), torch.tensor([1.0, -4.0])])]
        [[True, False], [False, True]]

    Reference:
        S. Han, J. Pool, J. Tran, W. Dally, "Learning both weights and connections", NeurIPS 2015 (magnitude); see
        `budget` for the others.
    """

    is_joint: ClassVar[bool] = True

    sparsity: float | None = None
    params: int | None = field(default=None, kw_only=True)
    macs: int | None = field(default=None, kw_only=True)
    bytes: int | None = field(default=None, kw_only=True)
    example_input: Any = field(default=None, kw_only=True, compare=False)
    allocation: "budget.Allocation | str" = field(default="magnitude", kw_only=True)
    floor: float | None = field(default=None, kw_only=True)
    progress: float = field(default=1.0, kw_only=True)

    def __post_init__(self) -> None:
        given = [name for name in _BUDGETS if getattr(self, name) is not None]
        if len(given) != 1:
            way_out = "Write Global(0.9), Global(params=...), Global(macs=..., example_input=...) or Global(bytes=...)."
            raise ArgumentError("Global", "budget", given, f"must be exactly one of {', '.join(_BUDGETS)}", way_out)
        if self.sparsity is not None:
            check_sparsity("Global", self.sparsity)
        elif isinstance(value := getattr(self, given[0]), bool) or not isinstance(value, int) or value < 1:
            raise ArgumentError("Global", given[0], value, "must be a whole number of at least 1")
        check_progress("Global", self.progress)
        allocation = budget.resolve(self.allocation, self.floor)
        if (self.example_input is None) != (self.macs is None):
            got = type(self.example_input).__name__
            raise ArgumentError("Global", "example_input", got, "must be given with macs, and only then")
        if self.macs is not None and not isinstance(allocation, budget.Magnitude):
            raise ArgumentError("Global", "allocation", self.allocation, "must be 'magnitude' for a budget in macs")

    def __repr__(self) -> str:
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.compare}
        shown = [f"{f.name}={values[f.name]!r}" for f in fields(self) if f.compare and values[f.name] != f.default]
        return f"Global({', '.join(shown)})"

    @property
    def settings(self) -> str:
        """As it is written, and what the example input looks like, since costs depend on it."""
        return repr(self) if self.macs is None else f"{self!r} of {_outline(self.example_input)}"

    def at(self, progress: float) -> "Global":
        """The budget that lies the fraction `progress` of the way from dense to this one."""
        check_progress("Global.at", progress)
        if self.sparsity is not None:
            return replace(self, sparsity=progress * self.sparsity)
        return replace(self, progress=progress * self.progress)

    def strengths(self, weight: Tensor) -> Tensor | None:
        """The magnitudes."""
        return weight.abs()

    def kept(self, weights: Sequence[Tensor]) -> int:
        """How many entries of `weights` stay in all."""
        return self._kept([w.numel() for w in weights], [w.itemsize for w in weights])

    def _kept(self, numels: Sequence[int], sizes: Sequence[int]) -> int:
        """How many of these entries, of so many bytes each, stay."""
        total = sum(numels)
        if self.sparsity is not None:
            kept = kept_count(total, self.progress * self.sparsity)
        else:
            value, fixed, each = self._linear(numels, sizes)
            kept = total - round(self.progress * max(0, total - (value - fixed) // each))
        return min(total, max(kept, sum(numel > 0 for numel in numels)))

    def select(self, weights: Sequence[Tensor]) -> list[Tensor]:
        """The masks that the allocation chooses."""
        if self.macs is not None:
            raise UsageError(repr(self), "a budget in MACs needs the model", "Use it in a Pruner, or call bind first.")
        return budget.resolve(self.allocation, self.floor).select(weights, self.kept(weights))

    def bind(self, model: nn.Module, weights: Mapping[str, Tensor]) -> ConstraintSet:
        """This set, or the `Knapsack` with measured prices where the budget is in MACs.

        Raises:
            ArgumentError: a budget that does not pay one entry of every tensor, or more than all of them; a weight
                whose MACs cannot be counted.
        """
        return self._bound(model, weights, is_part=False)

    def bind_part(self, model: nn.Module, weights: Mapping[str, Tensor]) -> ConstraintSet:
        """As `bind`, for a part of what the budget was made for: one that pays for all of these weights leaves them.

        Raises:
            ArgumentError: a budget that does not pay one entry of every tensor; a weight whose MACs cannot be counted.
        """
        return self._bound(model, weights, is_part=True)

    def _bound(self, model: nn.Module, weights: Mapping[str, Tensor], *, is_part: bool) -> ConstraintSet:
        tensors = list(weights.values())
        if self.macs is not None:
            costs = macs_per_weight(model, weights, self.example_input)
            allocation = budget.resolve(self.allocation, self.floor)
            assert isinstance(allocation, budget.Magnitude)  # as the constructor has checked
            dense = sum(cost * w.numel() for cost, w in zip(costs, tensors, strict=True))
            macs = min(self.macs, dense) if is_part else self.macs
            _check_between("macs", macs, sum(costs), dense)
            return Knapsack(macs, costs, allocation.floor, self.progress)
        if self.sparsity is None:
            value, fixed, each = self._linear([w.numel() for w in tensors], [w.itemsize for w in tensors])
            dense = fixed + each * sum(w.numel() for w in tensors)
            name = "params" if self.params is not None else "bytes"
            _check_between(name, min(value, dense) if is_part else value, fixed + each * len(tensors), dense)
        return self

    def check_slices(self, name: str, shape: tuple[int, ...], ranks: int) -> None:
        """Raises `UsageError` for a budget in MACs, or an allocation that must see a whole tensor."""
        if self.macs is not None:
            problem = f"Global(macs={self.macs}) is not available for weights cut over {ranks} ranks"
            raise UsageError(name, problem, "Use a budget in sparsity, params or bytes.")
        budget.resolve(self.allocation, self.floor).check_slices(name, ranks)

    def claims(self, slices: Sequence[Slice]) -> list[Claim]:
        """As the allocation says."""
        kept = self._kept([part.numel for part in slices], [part.tensor.itemsize for part in slices])
        return budget.resolve(self.allocation, self.floor).claims(slices, kept)

    def _linear(self, numels: Sequence[int], sizes: Sequence[int]) -> tuple[int, int, int]:
        """The budget, what is spent before the first entry, and the price of an entry: the widest dtype's."""
        if self.params is not None:
            return self.params, 0, 1
        bitmasks = sum(-(-numel // 8) for numel in numels)
        return self.bytes or 0, bitmasks, max(sizes)


def _check_between(name: str, value: int, least: int, dense: int) -> None:
    if not least <= value <= dense:
        rule = f"must be from {least} (one weight of every tensor) to {dense} (all of them)"
        raise ArgumentError("Global", name, value, rule)


def _outline(value: Any) -> str:
    """Dtypes and shapes of the tensors in tuples, lists and dicts; other things as they print themselves."""
    if isinstance(value, Tensor):
        return f"{value.dtype} {tuple(value.shape)}"
    if isinstance(value, (tuple, list)):
        return f"({', '.join(map(_outline, value))})"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{name!r}: {_outline(entry)}' for name, entry in value.items())}}}"
    return repr(value)
