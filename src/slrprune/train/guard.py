"""Stops a run whose loss is no longer a number."""

from typing import Any

import torch
from torch import Tensor

from slrprune.errors import NonFiniteError


class LossGuard:
    """Watches the losses of a run and refuses the first that is NaN or infinite.

    On the CPU every loss is looked at before its backward pass, so that the weights stay those of the last good step.
    On accelerators that would make every step wait for the device; the verdict is kept there and read by `mean`, and
    until then a `Pruner` protects its own state.

    Args:
        device: of the losses.
    """

    def __init__(self, device: torch.device) -> None:
        self._is_immediate = device.type == "cpu"
        self._is_finite = torch.ones((), dtype=torch.bool, device=device)
        self._total = torch.zeros((), dtype=torch.float64, device=device)
        self._count = 0
        self._steps = 0

    def watch(self, loss: Tensor) -> None:
        """Takes note of one loss, 0-dim.

        Raises:
            NonFiniteError: on the CPU, at once.
        """
        value = loss.detach()
        self._is_finite &= value.isfinite()
        self._total += value
        self._count += 1
        self._steps += 1
        if self._is_immediate and not bool(self._is_finite):
            way_out = "The weights are those of the last good step; try a lower learning rate."
            raise NonFiniteError(f"train, step {self._steps}", "the loss", way_out)

    def mean(self) -> float:
        """The mean loss since the last call; one copy to the host.

        Raises:
            NonFiniteError: one of the losses since then was NaN or infinite.
        """
        if not bool(self._is_finite):
            way_out = "Load the last checkpoint, and try a lower learning rate."
            raise NonFiniteError(f"train, at or before step {self._steps}", "the loss", way_out)
        mean = float(self._total.item()) / max(1, self._count)
        self._total.zero_()
        self._count = 0
        return mean

    def state_dict(self) -> dict[str, Any]:
        """What has been seen of the epoch under way: numbers and 0-dim tensors."""
        return {
            "is_finite": self._is_finite.clone(),
            "total": self._total.clone(),
            "count": self._count,
            "steps": self._steps,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` returned."""
        self._is_finite.copy_(state["is_finite"])
        self._total.copy_(state["total"])
        self._count, self._steps = state["count"], state["steps"]
