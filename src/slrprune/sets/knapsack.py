"""A joint budget of multiply-accumulates: weights of different prices in one bag."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor

from slrprune.errors import ArgumentError, UsageError
from slrprune.sets.base import ConstraintSet, check_progress
from slrprune.sets.topk import top_k


@dataclass(frozen=True)
class Knapsack(ConstraintSet):
    """The tensors whose non-zeros together cost at most a budget; what `Global(macs=...)` becomes in a model.

    S = {W : sum_l cost_l * ||W_l||_0 <= budget}, with a floor of entries per tensor as in `Magnitude`.

    The nearest point is a knapsack problem. The mask is Dantzig's greedy answer: floors first, then entries by falling
    |w|^2 / cost, equal ones by index, up to the first that does not fit. The budget is never exceeded; what is left of
    it is less than the price of that entry, and that entry bounds the loss against the exact answer: at most its |w|^2.
    Cheaper entries further down that would still fit are left out, so that the set is stable from step to step. One
    sort of all entries.

    Args:
        budget: total price, in the unit of `costs`, here multiply-accumulates of one forward pass.
        costs: price of a single entry of each tensor, in the order in which the tensors come; at least 1.
        floor: fraction of its even share that every tensor keeps, in [0, 1]; at least one entry stays.
        progress: fraction of the way from dense to the budget, in [0, 1]; `at` sets it.

    Raises:
        ArgumentError: a price below 1, a floor or progress outside [0, 1], a budget that does not pay one entry of each
            tensor.
        UsageError: another number of tensors than prices.

    Reference:
        G. Dantzig, "Discrete-variable extremum problems", Operations Research 5, 1957.
    """

    is_joint: ClassVar[bool] = True

    budget: int
    costs: tuple[int, ...]
    floor: float = 0.1
    progress: float = 1.0

    def __post_init__(self) -> None:
        check_progress("Knapsack", self.progress)
        if not 0 <= self.floor <= 1:
            raise ArgumentError("Knapsack", "floor", self.floor, "must be in [0, 1]")
        if not all(cost >= 1 for cost in self.costs):
            raise ArgumentError("Knapsack", "costs", self.costs, "must be at least 1")
        if self.budget < sum(self.costs):
            rule = f"must pay for one entry of every tensor: at least {sum(self.costs)}"
            raise ArgumentError("Knapsack", "budget", self.budget, rule)

    def at(self, progress: float) -> "Knapsack":
        """The budget that lies the fraction `progress` of the way from dense to this one."""
        return replace(self, progress=check_progress("Knapsack.at", progress) * self.progress)

    def price(self, masks: Sequence[Tensor]) -> int:
        """What the True entries of `masks` cost together."""
        return sum(cost * int(mask.sum()) for cost, mask in zip(self.costs, masks, strict=True))

    def strengths(self, weight: Tensor) -> Tensor | None:
        """The magnitudes."""
        return weight.abs()

    def select(self, weights: Sequence[Tensor]) -> list[Tensor]:
        """The masks of Dantzig's greedy answer."""
        if len(weights) != len(self.costs):
            problem = f"has prices for {len(self.costs)} tensors, got {len(weights)}"
            raise UsageError("Knapsack", problem, "Bind the Global set to these weights.")
        numels = [w.numel() for w in weights]
        dense = sum(c * n for c, n in zip(self.costs, numels, strict=True))
        budget = dense - math.ceil(self.progress * max(0, dense - self.budget))
        scores = self._scores(weights, (budget - sum(self.costs)) / max(1, dense))
        device = scores[0].device
        order = torch.cat([s.to(device) for s in scores]).argsort(descending=True, stable=True)
        costs = torch.cat([torch.full((n,), c, device=device) for n, c in zip(numels, self.costs, strict=True)])
        paid = costs[order].cumsum(0) <= budget
        flat = torch.empty_like(paid).scatter_(0, order, paid)
        ends = [0, *torch.tensor(numels).cumsum(0).tolist()]
        parts = [flat[start:end] for start, end in pairwise(ends)]
        return [part.view(w.shape).to(w.device, copy=True) for part, w in zip(parts, weights, strict=True)]

    def _scores(self, weights: Sequence[Tensor], spare: float) -> list[Tensor]:
        """|w| / sqrt(cost), the root of what is compared; infinity for the floor of a tensor.

        `spare` is the density that is left when one entry of every tensor is paid: so the floors are affordable.
        """
        scores = []
        for weight, cost in zip(weights, self.costs, strict=True):
            floor = min(weight.numel(), 1 + math.floor(self.floor * spare * weight.numel()))
            reserved = top_k([weight], floor)[0]
            precise = weight.abs().to(torch.promote_types(weight.dtype, torch.float32)) / math.sqrt(cost)
            scores.append(precise.masked_fill(reserved, math.inf).reshape(-1))
        return scores
