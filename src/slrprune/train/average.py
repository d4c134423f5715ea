"""An average of the weights over the run, which may be what is cut and kept in the end."""

from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from slrprune.masks import apply_masks_
from slrprune.rules import targets_by_name


class Average:
    """Exponential moving average of the parameters; buffers are those of the model.

    Args:
        model: what is averaged.
        decay: weight of the past at every step, in (0, 1).
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay))

    def update(self, model: nn.Module) -> None:
        """Takes in the weights after one optimizer step."""
        self._averaged.update_parameters(model)

    @torch.no_grad()
    def copy_to_(self, model: nn.Module, pruned: list[str]) -> None:
        """Writes the average into `model`, with the zeros that `model` has now in the weights named `pruned`."""
        targets = targets_by_name(model)
        masks = {name: targets[name].parameter != 0 for name in pruned}
        for parameter, average in zip(model.parameters(), self._averaged.module.parameters(), strict=True):
            parameter.copy_(average)
        apply_masks_(model, masks)

    def state_dict(self) -> dict[str, Any]:
        """Tensors by name."""
        return dict(self._averaged.state_dict())

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` returned."""
        self._averaged.load_state_dict(state)
