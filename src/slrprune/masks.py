"""Zeros that stay zero: masked retraining, and masks for other copies of a model."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from slrprune.errors import RuleError, ShapeError, UsageError, closest
from slrprune.methods.base import keep_
from slrprune.rules import find_targets


@torch.no_grad()
def apply_masks_(model: nn.Module, masks: Mapping[str, Tensor]) -> None:
    """Writes +0.0 into `model` wherever a mask is False; nothing is written unless every mask fits.

    Args:
        model: a model with the parameter names of `masks`; wrapper prefixes do not matter.
        masks: canonical parameter name to bool tensor, True = kept.

    Raises:
        RuleError: a name that the model does not have.
        ShapeError: a mask of another shape.
    """
    parameters = _parameters(model, masks)
    for name, mask in masks.items():
        keep_(parameters[name], mask.to(parameters[name].device))


class MaskKeeper:
    """Keeps the zeros of a pruned model at zero while it is retrained.

    After every `optimizer.step()` the masked entries are written back to zero, through PyTorch's public hook on
    optimizer steps; entries of momentum and other per-weight state are cleared once, so that nothing pushes against
    the mask. Works with every optimizer, whatever momentum it carries.

        keeper = MaskKeeper(model, optimizer)
        ...                                  # the usual loop, with no line added
        keeper.remove()

    Args:
        model: the pruned model.
        optimizer: the optimizer of the retraining.
        masks: canonical parameter name to bool tensor, True = kept; by default the zeros that the prunable weights
            have now.

    Raises:
        UsageError: no weight has a zero, so there is nothing to keep.
        RuleError, ShapeError: see `apply_masks_`.
    """

    def __init__(self, model: nn.Module, optimizer: Optimizer, masks: Mapping[str, Tensor] | None = None) -> None:
        masks = _present_masks(model) if masks is None else masks
        if all(bool(mask.all()) for mask in masks.values()):
            raise UsageError("MaskKeeper", "the model has no zeros to keep", "Prune it first, or pass masks.")
        parameters = _parameters(model, masks)
        self._pairs = [(parameters[name], mask.to(parameters[name].device).clone()) for name, mask in masks.items()]
        self._clear_optimizer_state(optimizer)
        self.apply_()
        self._handle = optimizer.register_step_post_hook(lambda *_: self.apply_())

    @torch.no_grad()
    def apply_(self) -> None:
        """Writes the zeros now."""
        for parameter, mask in self._pairs:
            keep_(parameter, mask)

    def remove(self) -> None:
        """Lets the weights go; the model and the optimizer are as if the keeper had never been."""
        self._handle.remove()

    @torch.no_grad()
    def _clear_optimizer_state(self, optimizer: Optimizer) -> None:
        for parameter, mask in self._pairs:
            for value in optimizer.state.get(parameter, {}).values():
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    keep_(value, mask)


def _present_masks(model: nn.Module) -> dict[str, Tensor]:
    targets = [target for target in find_targets(model) if target.is_default and not target.obstacle]
    return {target.name: target.parameter.detach() != 0 for target in targets}


def _parameters(model: nn.Module, masks: Mapping[str, Tensor]) -> dict[str, nn.Parameter]:
    parameters = {name: target.parameter for target in find_targets(model) for name in target.names}
    for name, mask in masks.items():
        if name not in parameters:
            near = closest(name, parameters)
            raise RuleError(name, "the model has no such parameter", f"The closest names are {near}.")
        if mask.shape != parameters[name].shape:
            raise ShapeError(name, f"the mask has shape {tuple(mask.shape)}", parameters[name].shape)
    return parameters
