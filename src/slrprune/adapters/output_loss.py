"""The loss of a step of transformers.Trainer, which tells its callbacks none."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from slrprune.errors import UsageError


class OutputLoss:
    """Reads the losses of the micro-batches from the model's output, by a forward hook that is there until `remove`.

    Args:
        model: whose output holds the loss, as "loss" or as first entry.
        ranks: processes over which the Trainer averages the items; it multiplies the loss by their number.
    """

    def __init__(self, model: nn.Module, ranks: int = 1) -> None:
        self._told: list[Tensor] = []
        self._shares: list[Tensor] = []
        self._means: list[Tensor] = []
        self._ranks = ranks
        self._handle = model.register_forward_hook(self._see, with_kwargs=True)

    def tell(self, share: Tensor) -> None:
        """A micro-batch's share of the loss from elsewhere; those of a step are preferred to what the model shows."""
        self._told.append(share.detach())

    def take(self) -> Tensor:
        """The loss of the whole batch on this rank, 0-dim; the next step begins with none."""
        shares, means = self._told or self._shares, self._means
        self._told, self._shares, self._means = [], [], []
        if not shares and not means:
            way_out = "Override Trainer.training_step, and pass what it returns to observe()."
            raise UsageError("TransformersPruning", "the model's output holds no loss", way_out)
        return torch.stack(shares).sum() if shares else torch.stack(means).mean()

    def remove(self) -> None:
        """Lets the model go."""
        self._handle.remove()

    @torch.compiler.disable  # type: ignore[untyped-decorator]  # a graph break behind the whole model, not within it
    def _see(self, model: nn.Module, args: object, kwargs: Mapping[str, Any], output: Any) -> None:
        loss = output.get("loss") if isinstance(output, Mapping) else output[0]
        if not model.training or not torch.is_grad_enabled() or not isinstance(loss, Tensor) or loss.ndim:
            return
        if kwargs.get("num_items_in_batch") is None:
            self._means.append(loss.detach())
        else:  # the model divided by the number of items in the whole batch
            self._shares.append(loss.detach() * self._ranks)
