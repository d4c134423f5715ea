"""What the adapters share: the hard cut at the end, the same for every rival, so that all reach the same count."""

from copy import deepcopy

import torch
from torch import nn

from slrprune import OneShot, Pruner
from slrprune.rules import Rules


def hard_cut_(model: nn.Module, rules: Rules) -> None:
    """Projects the weights that `rules` select, in place: the nearest point, as for every arm of ours."""
    owner = torch.optim.SGD(model.parameters(), lr=0.0)  # makes no step: a pruner wants to know who owns the weights
    Pruner(model, owner, rules, total_steps=1, method=OneShot()).finalize()


class CutTrainer:
    """A rival's trainer whose result is its weights after the hard cut; a subclass adds `step`."""

    def __init__(self, model: nn.Module, rules: Rules) -> None:
        self.model = model
        self.rules = rules

    def preview(self) -> nn.Module:
        """The hard cut on a copy."""
        copy = deepcopy(self.model)
        hard_cut_(copy, self.rules)
        return copy

    def finalize(self) -> None:
        """The hard cut."""
        hard_cut_(self.model, self.rules)
