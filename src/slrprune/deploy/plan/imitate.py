"""A model that looks, to a file or a kernel, as the pruned one will: random weights, cut by the rules' own sets."""

import copy
import math

import torch
from torch import Tensor, nn

from slrprune.deploy.plan.wrapped import refuse_wrapped
from slrprune.deploy.shrink.example import described
from slrprune.errors import UsageError
from slrprune.rules import Assignment, Rules, Skipped, assign
from slrprune.sets import ConstraintSet

_SCALE = 0.02
"""Of the values of a weight that has none yet: all zero, or not finite."""


def imitate(model: nn.Module, rules: Rules) -> tuple[nn.Module, dict[str, ConstraintSet], list[Skipped]]:
    """A copy of `model` in eval mode whose weights are what training by `rules` would leave, in everything but meaning.

    Pruned weights are drawn from a Laplace distribution of the weight's own standard deviation, cut by their sets, and
    scaled up so that the signal keeps its size. BatchNorm gets statistics and factors like those of a trained model,
    since untrained ones may be zero. What is drawn depends on the shapes only.

    Returns:
        The copy, the set of each pruned parameter, and what stays dense.

    Raises:
        ArgumentError, RuleError, ShapeError: as `Pruner` does for these rules.
        UsageError: a parametrization or a pruning hook of torch is attached; the model cannot be copied.
    """
    refuse_wrapped(model)
    try:
        result = copy.deepcopy(model).eval()
    except Exception as error:  # any module may refuse to be copied
        problem = f"the model cannot be copied ({described(error)})"
        raise UsageError("plan", problem, "Plan before the first training step.") from error
    assignments, skipped = assign(result, rules)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for module in result.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                _enliven_(module, generator)
        for assignment in assignments:
            _cut_(result, assignment, generator)
    chosen = {target.name: each.constraint for each in assignments for target in each.targets}
    return result, chosen, skipped


def _cut_(model: nn.Module, assignment: Assignment, generator: torch.Generator) -> None:
    for target in assignment.targets:
        target.parameter.copy_(_laplace(target.parameter, generator))
    weights = {target.name: target.parameter.detach() for target in assignment.targets}
    constraint = assignment.constraint.bind(model, weights)
    for weight, mask in zip(weights.values(), constraint.masks(list(weights.values())), strict=True):
        density = float(mask.float().mean()) if mask.numel() else 1.0
        # Not a product with the mask, which would leave zeros with a minus sign: they take room in a file.
        weight.copy_(torch.where(mask, weight / math.sqrt(max(density, 1e-3)), 0))


def _laplace(weight: Tensor, generator: torch.Generator) -> Tensor:
    """Values of the weight's own standard deviation; on the CPU, since generators belong to a device."""
    spread = float(weight.double().std()) if weight.numel() > 1 else 0.0
    scale = spread / math.sqrt(2) if math.isfinite(spread) and spread > 0 else _SCALE
    uniform = torch.rand(weight.shape, generator=generator) - 0.5
    return -scale * uniform.sign() * (1 - 2 * uniform.abs()).clamp_min(1e-12).log()


def _enliven_(norm: nn.modules.batchnorm._BatchNorm, generator: torch.Generator) -> None:
    for tensor in (norm.weight, norm.running_var):
        if isinstance(tensor, Tensor):
            tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
    for tensor in (norm.bias, norm.running_mean):
        if isinstance(tensor, Tensor):
            tensor.copy_(0.1 * torch.randn(tensor.shape, generator=generator))
