"""What each layer can bear: the metric after a cut of that layer alone, without any training."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from slrprune.errors import ArgumentError
from slrprune.rules import Rules, Target, assign, find_targets
from slrprune.sets import ConstraintSet
from slrprune.tasks import Split, Task


@dataclass(frozen=True)
class LayerCurve:
    """One layer.

    Attributes:
        name: of its parameter.
        shape: of the parameter.
        numel: number of entries.
        accuracy: the metric at each level, in percent; None where a level's rules leave the layer dense.
        sparsity: fraction of zeros at each level, in [0, 1]; None likewise.
    """

    name: str
    shape: tuple[int, ...]
    numel: int
    accuracy: tuple[float | None, ...]
    sparsity: tuple[float | None, ...]

    def bears(self, dense: float, drop: float) -> int:
        """How many levels from the first on cost at most `drop` points against `dense`, in percent."""
        count = 0
        for accuracy in self.accuracy:
            if accuracy is None or not dense - accuracy <= drop:
                break
            count += 1
        return count


@dataclass(frozen=True)
class Sensitivity:
    """Curves of all layers that the rules prune, in registration order.

    Attributes:
        metric: what was measured, larger is better.
        split: on which data.
        dense: the metric before any cut, in percent.
        levels: names of the levels.
        curves: one for each layer.
    """

    metric: str
    split: Split
    dense: float
    levels: tuple[str, ...]
    curves: tuple[LayerCurve, ...]


def sensitivity(
    task: Task,
    model: nn.Module,
    levels: Mapping[str, Rules],
    *,
    split: Split = "val",
    on_layer: Callable[[str, int, int], None] | None = None,
) -> Sensitivity:
    """Cuts one layer at a time by magnitude, evaluates, and puts the weights back; nothing is trained.

    BatchNorm's statistics are left as they are. A set that several layers share is applied to each of them alone: of a
    `Global` budget in weights, bytes or multiply-accumulates each layer may take all, and one that needs less than that
    stays whole, with a sparsity of 0.

    Args:
        task: gives the data and the metric.
        model: with trained weights, on the task's device; it is as before when this returns, and when it raises.
        levels: name of a level to the rules of that level, the mildest first.
        split: "val" for choices that the test split must not see.
        on_layer: called with a layer's name, its number from 1, and how many there are, before it is measured.

    Raises:
        ArgumentError: no level; a budget that does not pay one weight of a layer, or whose MACs cannot be counted.
        RuleError, ShapeError: as `Pruner` does for these rules. All of this is told before anything is evaluated.
        UsageError: the task has no such split.
    """
    if not levels:
        raise ArgumentError("sensitivity", "levels", {}, "must hold at least one")
    plans = [_sets(model, rules) for rules in levels.values()]
    layers = {target.name: target for plan in plans for target, _ in plan.values()}
    names = [target.name for target in find_targets(model) if target.name in layers]
    dense = task.evaluate(model, split)
    curves = []
    for number, name in enumerate(names, start=1):
        if on_layer is not None:
            on_layer(name, number, len(names))
        found = [_cut_alone(task, model, plan[name], split) if name in plan else (None, None) for plan in plans]
        weight = layers[name].parameter
        accuracy, sparsity = zip(*found, strict=True)
        curves.append(LayerCurve(name, tuple(weight.shape), weight.numel(), accuracy, sparsity))
    return Sensitivity(task.metric, split, dense, tuple(levels), tuple(curves))


def _sets(model: nn.Module, rules: Rules) -> dict[str, tuple[Target, ConstraintSet]]:
    """The set of each parameter, made ready for that parameter alone."""
    assignments, _ = assign(model, rules)
    return {
        target.name: (target, each.constraint.bind_part(model, {target.name: target.parameter}))
        for each in assignments
        for target in each.targets
    }


def _cut_alone(task: Task, model: nn.Module, chosen: tuple[Target, ConstraintSet], split: Split) -> tuple[float, float]:
    """The metric and the fraction of zeros with this one parameter cut."""
    target, constraint = chosen
    weight: Tensor = target.parameter.detach()
    (mask,) = constraint.masks([weight])
    before = weight.clone()
    try:
        with torch.no_grad():
            weight.masked_fill_(~mask, 0)
        return task.evaluate(model, split), 1 - float(mask.double().mean())
    finally:
        with torch.no_grad():
            weight.copy_(before)
