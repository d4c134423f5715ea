"""What one training step is: dense, with a pruner, or whatever a rival library makes of it."""

from collections.abc import Callable
from typing import Protocol

from torch import Tensor, nn
from torch.optim import Optimizer

from slrprune.pruner import Pruner


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
    """

    def __init__(self, model: nn.Module, optimizer: Optimizer, total_steps: int) -> None:
        self.model = model
        self.optimizer = optimizer

    def step(self, loss: Tensor, /) -> None:
        """Backward pass and optimizer step."""
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

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
    """

    def __init__(self, optimizer: Optimizer, pruner: Pruner) -> None:
        self.optimizer = optimizer
        self.pruner = pruner

    def step(self, loss: Tensor, /) -> None:
        """Backward pass, optimizer step, pruner step."""
        objective = loss + self.pruner.penalty() if self.pruner.method.is_coupled else loss
        self.optimizer.zero_grad()
        objective.backward()
        self.optimizer.step()
        self.pruner.step(loss)

    def preview(self) -> nn.Module:
        """The hard cut on a copy."""
        return self.pruner.preview()

    def finalize(self) -> None:
        """The hard cut."""
        self.pruner.finalize()
