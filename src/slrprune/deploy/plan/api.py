"""plan: what pruning would bring here, before any training."""

from collections.abc import Mapping

from torch import nn

from slrprune.deploy.accelerate import AccelerateReport, InterleavedTimer, LayerRow, Timer, accelerate
from slrprune.deploy.plan.advice import Plan, warnings_of
from slrprune.deploy.plan.costs import countable, macs
from slrprune.deploy.plan.imitate import imitate
from slrprune.deploy.plan.report import NAN, PlanReport, PlanRow, ShrunkPlan
from slrprune.deploy.plan.shrinking import try_shrink
from slrprune.deploy.plan.sizes import Sizes, sizes
from slrprune.rules import Rules, Target, canonical_name
from slrprune.sets import Channel, ConstraintSet

_TOLERANCE = 0.01
"""Of the outputs of random weights, whose rounding is nobody's concern, but which must still be the same function."""


def plan(
    model: nn.Module,
    rules: Rules,
    example_inputs: object,
    *,
    allow_bf16: bool = False,
    timer: Timer | None = None,
) -> PlanReport:
    """What pruning `model` by `rules` would bring on this machine: file size, multiply-accumulates, measured speed.

    Nothing is trained. A copy of the model gets random weights, cut by the very sets of the rules. Its size in the
    sparse file is exact for these weights, its speed is measured as `accelerate` measures it. Trained weights differ
    from random ones in where their zeros lie, and in how evenly a joint budget is spread over the layers.

    Args:
        model: trained or not, in any mode, on any device. It is not changed.
        rules: as `Pruner` takes them: a set, or a mapping from pattern to set or None.
        example_inputs: a tensor, a tuple of positional arguments, or a dict of keyword arguments of `model`, on its
            device. Its batch and sizes are what is measured.
        allow_bf16: whether layers may be computed in bfloat16.
        timer: what measures; None: 15 interleaved rounds.

    Returns:
        The figures per weight and in total, with warnings.

    Raises:
        ArgumentError: the model does not take the example, or `rules` are no rules.
        RuleError: rules that match nothing, can never match, or select what cannot be pruned.
        ShapeError: a weight that a set cannot take.
        UsageError: the model cannot be copied, or is random.

    Examples:
        >>> import torch
        >>> from slrprune import Unstructured
        >>> model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 8))
        >>> report = plan(model, Unstructured(0.75), torch.randn(1, 64))
        >>> report.dense_macs, report.macs
        (4608, 1152)
    """
    timer = timer or InterleavedTimer()
    copied, sets, skipped = imitate(model, rules)
    targets = countable(copied, example_inputs)
    costs = macs(copied, targets, example_inputs)
    size = sizes(copied)
    _, acceleration = accelerate(
        copied, example_inputs, allow_bf16=allow_bf16, tolerance=max(_TOLERANCE, 0.05 * allow_bf16), timer=timer
    )
    reasons = {each.name: each.reason for each in skipped}
    rows = tuple(_row(target, sets, reasons, size, costs, acceleration) for target in targets)
    shrunk: ShrunkPlan | None = None
    problems: list[str] = []
    if any(isinstance(constraint, Channel) for constraint in sets.values()):
        shrunk, problems = try_shrink(copied, example_inputs, timer)
    warnings = warnings_of(Plan(rows, sets, acceleration, size.dense / size.file, shrunk, problems))
    return PlanReport(rows, size.file, size.dense, acceleration, shrunk, warnings)


def _row(
    target: Target,
    sets: Mapping[str, ConstraintSet],
    reasons: Mapping[str, str],
    size: Sizes,
    costs: Mapping[str, int],
    acceleration: AccelerateReport,
) -> PlanRow:
    weight = target.parameter
    nonzeros = int(weight.count_nonzero())
    layer = _layer_row(target.name, acceleration)
    is_measured = layer is not None and bool(layer.times)
    return PlanRow(
        name=target.name,
        shape=tuple(weight.shape),
        rule=repr(sets[target.name]) if target.name in sets else reasons[target.name],
        is_pruned=target.name in sets,
        sparsity=1 - nonzeros / max(1, weight.numel()),
        dense_bytes=weight.numel() * weight.itemsize,
        file_bytes=next((size.tensors[name] for name in target.names if name in size.tensors), 0),
        dense_macs=costs[target.name] * weight.numel(),
        macs=costs[target.name] * nonzeros,
        dense_time=layer.times["dense"] if layer is not None and is_measured else NAN,
        time=layer.times[layer.chosen] if layer is not None and is_measured else NAN,
        runs_on=_runs_on(layer),
    )


def _layer_row(name: str, acceleration: AccelerateReport) -> LayerRow | None:
    own = "0.weight" if name == "weight" else name  # a model that is one layer
    return next((row for row in acceleration.rows if canonical_name(f"{row.name}.weight") in (name, own)), None)


def _runs_on(layer: LayerRow | None) -> str:
    if layer is None:
        return "dense: no Linear or Conv2d"
    return layer.chosen if layer.times else f"dense: {layer.why}"
