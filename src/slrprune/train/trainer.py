"""What one training step is: dense, with a pruner, or whatever a rival library makes of it."""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from slrprune.pruner import Pruner
from slrprune.train.engine import Engine, Move, Plain


class Trainer(Protocol):
    """One training step after the forward pass, and the end of the run.

    The loop owns the data, the forward pass and the learning-rate schedule; a trainer owns all that follows the loss.
    That is wide enough for rivals that wrap the optimizer or differentiate another objective.
    """

    def step(self, loss: Tensor, /) -> None:
        """Makes one training step: clears the old gradients, runs the backward pass, moves the weights.

        Args:
            loss: 0-dim, with a graph, finite.
        """

    def preview(self) -> nn.Module | None:
        """A copy of the model as `finalize` would leave it now; None where that cannot be had."""

    def finalize(self) -> None:
        """Leaves the final weights in the model, in place: for pruning methods after the hard cut."""


TrainerFactory = Callable[[nn.Module, Optimizer, int], Trainer]
"""Makes a trainer from model, optimizer and the number of steps planned."""


class DenseTrainer:
    """Plain training.

    Args:
        model: what is trained.
        optimizer: the owner of its weights.
        total_steps: steps planned; plain training does not look at it.
        engine: makes the steps; plain torch by default.
    """

    def __init__(self, model: nn.Module, optimizer: Optimizer, total_steps: int, engine: Engine | None = None) -> None:
        self.model = model
        self.optimizer = optimizer
        self.engine = engine or Plain()

    def step(self, loss: Tensor, /) -> None:
        """Backward pass and optimizer step."""
        self.engine.move(self.optimizer, loss)

    def preview(self) -> nn.Module:
        """The model itself, which is never cut."""
        return self.model

    def finalize(self) -> None:
        """Nothing is left to do."""


class PruningTrainer:
    """Plain training with a pruner behind the optimizer, as in the user's own loop.

    Args:
        optimizer: the one that the pruner was built with.
        pruner: of any method; for a coupled one its penalty joins the loss.
        engine: makes the steps; plain torch by default.
    """

    def __init__(self, optimizer: Optimizer, pruner: Pruner, engine: Engine | None = None) -> None:
        self.optimizer = optimizer
        self.pruner = pruner
        self.engine = engine or Plain()
        self._losses: list[Tensor] = []

    def step(self, loss: Tensor, /) -> None:
        """Backward pass, optimizer step, pruner step; the last two once for all batches of an accumulated step."""
        objective = loss + self.pruner.penalty() if self.pruner.method.is_coupled else loss
        self._losses.append(loss.detach())  # of this process: the pruner takes the mean over all
        move = self.engine.move(self.optimizer, objective)
        if move is Move.GATHERED:
            return
        mean = self._losses[0] if len(self._losses) == 1 else torch.stack(self._losses).mean()
        self._losses = []
        self.pruner.step(mean, skipped=move is Move.SKIPPED)

    def preview(self) -> nn.Module:
        """The hard cut on a copy."""
        return self.pruner.preview()

    def finalize(self) -> None:
        """The hard cut."""
        self.pruner.finalize()
