"""A copy of the model to work on: frozen, with the masks and parametrizations of others made permanent."""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune

from slrprune.deploy.shrink.example import described
from slrprune.errors import UsageError


def frozen_copy(model: nn.Module) -> nn.Module:
    """A copy of a model in eval mode, whose parameters need no gradient and share nothing with the model's.

    Masks of `torch.nn.utils.prune` and parametrizations are made permanent in the copy.

    Raises:
        UsageError: the model, or a part of it, is in training mode; it is on several devices, or on none; it is
            TorchScript; or it cannot be copied.
    """
    if isinstance(model, torch.jit.ScriptModule):
        raise UsageError("accelerate", "the model is TorchScript, whose layers are fixed", "Pass the model before jit.")
    training = [name or type(model).__name__ for name, module in model.named_modules() if module.training]
    if training:
        problem = f"the model is in training mode ({training[0]})"
        raise UsageError("accelerate", problem, "Call model.eval() first.")
    _check_devices(model)
    try:
        result = copy.deepcopy(model, _derived(model))
    except Exception as error:  # any module may refuse to be copied
        problem = f"the model cannot be copied ({described(error)})"
        raise UsageError("accelerate", problem, "Detach the tensors that it keeps beside its parameters.") from error
    with torch.no_grad():
        _make_permanent(result)
    return result.requires_grad_(False)


def shallow_copy(model: nn.Module) -> nn.Module:
    """A copy that shares all tensors with `model`, so that modules can be replaced in it."""
    tensors = (*model.parameters(), *model.buffers())
    return copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})


def _check_devices(model: nn.Module) -> None:
    devices = list(dict.fromkeys(str(tensor.device) for tensor in (*model.parameters(), *model.buffers())))
    if len(devices) > 1:
        raise UsageError("accelerate", f"the model lies on {', '.join(devices)}", "Move it to one device.")
    if devices == ["meta"]:
        raise UsageError("accelerate", "the model is on the device 'meta', without values", "Load its weights first.")


def _derived(model: nn.Module) -> dict[int, Any]:
    """A memo with copies of the tensors that hooks computed from parameters, which deepcopy would refuse."""
    held = (value for module in model.modules() for value in vars(module).values() if isinstance(value, Tensor))
    return {id(tensor): tensor.detach().clone() for tensor in held if not tensor.is_leaf}


def _make_permanent(model: nn.Module) -> None:
    for module in list(model.modules()):
        for hook in list(module._forward_pre_hooks.values()):
            if isinstance(hook, prune.BasePruningMethod):
                prune.remove(module, hook._tensor_name)
        if parametrize.is_parametrized(module):
            _unparametrize(module)


def _unparametrize(module: nn.Module) -> None:
    """As `parametrize.remove_parametrizations`, which would change the class that the copy shares with the original."""
    assert isinstance(module.parametrizations, nn.ModuleDict)
    values = {name: getattr(module, name).detach().clone() for name in module.parametrizations}
    del module.parametrizations
    module.__class__ = type(module).__bases__[0]
    for name, value in values.items():
        module.register_parameter(name, nn.Parameter(value, requires_grad=False))
