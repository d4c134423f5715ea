"""The engine on Hugging Face Accelerate: mixed precision, accumulation, clipping, several processes."""

import atexit
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from slrprune.errors import ArgumentError, MissingExtraError, UsageError
from slrprune.train.engine import Engine, Move, strided

PRECISIONS = ("no", "bf16", "fp16")


class Accelerated(Engine):
    """Accelerate under the loop; started by torchrun or `accelerate launch`, with DistributedDataParallel.

    Args:
        precision: "no", "bf16" (autocast) or "fp16" (autocast and a gradient scaler; not on the CPU).
        accumulation: batches of the task per optimizer step, at least 1.
        clip_norm: largest norm of the gradient, or None.
        cpu: stay on the CPU although there is a GPU.
        tracker: of Accelerate's, by name; None for none.
        folder: where a tracker that writes files writes them.

    Raises:
        MissingExtraError: accelerate is not installed.
        ArgumentError: fp16 on the CPU.
        UsageError: this process uses Accelerate already with another precision or device; its state is process-wide.
    """

    def __init__(
        self,
        *,
        precision: str = "no",
        accumulation: int = 1,
        clip_norm: float | None = None,
        cpu: bool = False,
        tracker: str | None = None,
        folder: Path | None = None,
    ) -> None:
        try:
            from accelerate import Accelerator
            from accelerate.state import AcceleratorState
        except ImportError as error:
            raise MissingExtraError("The training loop of slrprune.train.run", "accelerate", "train") from error
        if precision == "fp16" and (cpu or not torch.cuda.is_available()):
            raise ArgumentError("Accelerated", "precision", precision, "needs a GPU", "Take bf16 on the CPU.")
        # Accelerate keeps one state per process. Where we have made it, `close` takes it away again.
        self._owns_state = not AcceleratorState._shared_state
        try:
            self.accelerator = Accelerator(
                device_placement=False,  # the task puts its data and its models where they belong
                mixed_precision=precision,
                gradient_accumulation_steps=accumulation,
                cpu=cpu,
                log_with=tracker,
                project_dir=folder,
                step_scheduler_with_optimizer=False,
            )
        except ValueError as error:
            problem = f"Accelerate is in use in this process with other settings ({error})"
            raise UsageError("Accelerated", problem, "Start the run in a process of its own.") from error
        self.accumulation = accumulation
        self.clip_norm = clip_norm
        self.rank = self.accelerator.process_index
        self.processes = self.accelerator.num_processes
        self._models: dict[int, nn.Module] = {}
        self._scaled: dict[int, Any] = {}
        self._is_first = True

    @property
    def device(self) -> torch.device:
        """Where this process trains."""
        device = self.accelerator.device
        assert isinstance(device, torch.device)
        return device

    def prepare(self, model: nn.Module, optimizer: Optimizer) -> nn.Module:
        """Wraps the model, once, and under a scaler the optimizer, which `move` finds by the plain one."""
        self.accelerator.free_memory()  # it would go on to unscale the gradients of a phase that is over
        if id(model) not in self._models:
            self._models = {id(model): self.accelerator.prepare(model)}
        # Without a scaler the wrapper would only look for optional packages at every step: half a millisecond.
        if self.accelerator.scaler is not None:
            self._scaled = {id(optimizer): self.accelerator.prepare(optimizer)}
        return self._models[id(model)]

    def micro_step(self, model: nn.Module, *, is_last: bool) -> AbstractContextManager[Any]:
        """Accelerate counts the batches itself; the loop begins and ends every epoch at a whole step."""
        context: AbstractContextManager[Any] = self.accelerator.accumulate(model)
        return context

    def move(self, optimizer: Optimizer, objective: Tensor) -> Move:
        """The idiom of Accelerate: the optimizer rests between two whole steps."""
        # Before the backward pass, and only at the first batch of a step: later ones add to its gradients.
        if self._is_first:
            optimizer.zero_grad()
        self.accelerator.backward(objective)
        if not self.accelerator.sync_gradients:
            self._is_first = False
            return Move.GATHERED
        self._is_first = True
        if self.clip_norm is not None:
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            self.accelerator.clip_grad_norm_(parameters, self.clip_norm)
        if self.accelerator.scaler is None:
            optimizer.step()
            return Move.MADE
        scaled = self._scaled[id(optimizer)]
        scaled.step()
        self.has_skipped = bool(scaled.step_was_skipped)
        return Move.SKIPPED if self.has_skipped else Move.MADE

    def part(self, batch: Any) -> Any:
        """Every so manieth example; the whole batch where there is one process."""
        return batch if self.processes == 1 else strided(batch, self.rank, self.processes, len(batch[0]))

    def mean(self, loss: Tensor) -> Tensor:
        """Reduced over the processes, so that all of them see a NaN in the same step."""
        if self.processes == 1:
            return loss.detach()
        reduced = self.accelerator.reduce(loss.detach().clone(), reduction="mean")
        assert isinstance(reduced, Tensor)
        return reduced

    def any(self, flag: bool) -> bool:
        """Agreed on by a reduction."""
        if self.processes == 1:
            return flag
        total = self.accelerator.reduce(torch.tensor(float(flag), device=self.device), reduction="sum")
        return bool(total > 0)

    def gathered(self, value: Any) -> list[Any]:
        """Gathered as pickled objects, between processes of one run."""
        if self.processes == 1:
            return [value]
        from accelerate.utils import gather_object

        return list(gather_object([value]))

    def wait(self) -> None:
        """A barrier."""
        self.accelerator.wait_for_everyone()

    def state_dict(self) -> dict[str, Any]:
        """The scaler's state."""
        return {} if self.accelerator.scaler is None else {"scaler": self.accelerator.scaler.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Into the scaler."""
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])

    def close(self) -> None:
        """Ends the trackers, and gives the process-wide state back if this engine made it.

        The process group stays until the process ends: it cannot be made twice under torchrun, and the next run in
        these processes takes it over.
        """
        from accelerate.state import AcceleratorState, GradientState

        for tracker in self.accelerator.trackers:
            tracker.finish()
        if not self._owns_state:
            return
        if self.processes > 1:
            atexit.register(_end_process_group)
        AcceleratorState._reset_state(reset_partial_state=self.processes == 1)
        GradientState._reset_state()
        self._owns_state = False


def _end_process_group() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
