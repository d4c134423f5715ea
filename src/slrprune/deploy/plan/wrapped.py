"""Weights that torch computes anew in every forward pass, which nothing can be written into."""

from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils.prune import BasePruningMethod

from slrprune.errors import UsageError


def refuse_wrapped(model: nn.Module) -> None:
    """Raises `UsageError` where torch's own pruning, or a parametrization, is still attached to a module."""
    for name, module in model.named_modules():
        for hook in module._forward_pre_hooks.values():
            if isinstance(hook, BasePruningMethod):
                weight = hook._tensor_name
                problem = f"{name or 'the model'}.{weight} is still masked by torch.nn.utils.prune"
                way_out = f"Make it permanent first: torch.nn.utils.prune.remove(module, {weight!r})."
                raise UsageError("plan", problem, way_out)
        if parametrize.is_parametrized(module):
            weight = next(iter(module.parametrizations))  # a ModuleDict there
            problem = f"{name or 'the model'}.{weight} is computed by a parametrization"
            way_out = f"Remove it first: torch.nn.utils.parametrize.remove_parametrizations(module, {weight!r})."
            raise UsageError("plan", problem, way_out)
