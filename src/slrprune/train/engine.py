"""What stands between the loop and the hardware: how a loss becomes a step, and who else takes part."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from enum import Enum
from typing import Any, TypeVar

from torch import Tensor, nn
from torch.optim import Optimizer

from slrprune.errors import ArgumentError, SlrpruneError

Made = TypeVar("Made")


class Move(Enum):
    """What became of a loss."""

    MADE = "made"
    """The optimizer made its step."""
    GATHERED = "gathered"
    """The gradients were kept for a later step (gradient accumulation)."""
    SKIPPED = "skipped"
    """A gradient scaler left the weights alone, since a gradient was not finite."""


class Engine(ABC):
    """How the loop trains: in plain torch, or with Hugging Face Accelerate.

    There is one loop. `Plain`, the default, needs nothing but torch; `slrprune.train.accelerated.Accelerated` brings
    mixed precision, accumulation, clipping and several processes. docs/run.md says why there are two.

    Attributes:
        rank: number of this process, from 0.
        processes: how many share every batch.
        accumulation: batches of the task that make one optimizer step.
        has_skipped: whether a gradient scaler skipped the last step; the schedule of the learning rate then waits.
    """

    rank: int = 0
    processes: int = 1
    accumulation: int = 1
    has_skipped: bool = False

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def prepare(self, model: nn.Module, optimizer: Optimizer) -> nn.Module:
        """What the loss must call; its parameters are those of `model`. Called once per phase."""
        return model

    def micro_step(self, model: nn.Module, *, is_last: bool) -> AbstractContextManager[Any]:
        """Surrounds forward and backward pass of one batch; `is_last` where an optimizer step follows it."""
        return nullcontext()

    @abstractmethod
    def move(self, optimizer: Optimizer, objective: Tensor) -> Move:
        """The backward pass, and the optimizer's step where one is due.

        Args:
            optimizer: the one that was prepared.
            objective: 0-dim, with a graph; this process's mean over its part of one batch.
        """

    def part(self, batch: Any) -> Any:
        """This process's share of a batch of the task."""
        return batch

    def mean(self, loss: Tensor) -> Tensor:
        """The detached mean of a loss over all processes, 0-dim."""
        return loss.detach()

    def any(self, flag: bool) -> bool:
        """Whether the flag is up in one of the processes; all get the same answer."""
        return flag

    def gathered(self, value: Any) -> list[Any]:
        """The values of all processes, in the order of their ranks."""
        return [value]

    def by_main(self, action: Callable[[], Made]) -> Made | None:
        """Lets the main process act while the others wait for it.

        Where it fails, all of them leave: one that went on would wait in the next collective call for a process that
        has gone.

        Args:
            action: called in the main process alone; calls nothing collective.

        Returns:
            What `action` returned; None in the other processes.

        Raises:
            SlrpruneError, OSError: what `action` raised; in the other processes a plain `SlrpruneError` with its text.
        """
        made: Made | None = None
        failure: SlrpruneError | OSError | None = None
        if self.is_main:
            try:
                made = action()
            except (SlrpruneError, OSError) as error:
                failure = error
        text = self.gathered(None if failure is None else str(failure))[0]
        if failure is not None:
            raise failure
        if text is not None:
            raise SlrpruneError(text)
        return made

    def state_dict(self) -> dict[str, Any]:
        """Plain values for a checkpoint: the gradient scaler's, where there is one."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: B027  (most engines have nothing to load)
        """Takes back what `state_dict` returned."""


class Plain(Engine):
    """Torch alone, one process."""

    def move(self, optimizer: Optimizer, objective: Tensor) -> Move:
        """The three lines of every loop."""
        optimizer.zero_grad()
        objective.backward()
        optimizer.step()
        return Move.MADE


def strided(batch: Any, rank: int, processes: int, size: int) -> Any:
    """Every `processes`-th example of a batch, beginning with the one of this rank.

    So the data of a step are the same for any number of processes: a function of (seed, epoch) alone.

    Args:
        batch: nested tuples (named ones, too), lists and mappings; tensors with `size` entries in their first dimension
            are shared out, everything else is left as it is.
        rank: from 0.
        processes: at least 1.
        size: examples in the batch.

    Raises:
        ArgumentError: a batch that cannot be shared out evenly, so that means over processes would be none.
    """
    if size % processes:
        rule = f"must be a multiple of the number of processes, {processes}"
        raise ArgumentError("train", "batch_size", size, rule, "Choose another batch_size.")
    if isinstance(batch, Tensor):
        return batch[rank::processes] if batch.ndim and batch.shape[0] == size else batch
    if isinstance(batch, Mapping):
        return {name: strided(entry, rank, processes, size) for name, entry in batch.items()}
    if isinstance(batch, list | tuple):
        entries = [strided(entry, rank, processes, size) for entry in batch]
        return type(batch)(entries) if type(batch) in (list, tuple) else type(batch)(*entries)  # a named tuple
    return batch
